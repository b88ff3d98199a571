"""Whether anything listens at an address: a TCP connection that is closed at once, without a byte sent."""

import asyncio
import contextlib
from urllib.parse import urlsplit


async def reach(endpoint: str, within: float) -> str:
    """Why nothing listens at the host and port of a URL; empty when something does. `within` real seconds.

    Raises:
        ValueError: the URL has no host; the inventory has let none such in.
    """
    url = urlsplit(endpoint)
    if url.hostname is None:
        raise ValueError(f"{endpoint!r} names no host")
    port = url.port or (443 if url.scheme == "https" else 80)
    place = f"{url.hostname}:{port}"
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(url.hostname, port)
    except TimeoutError:
        return f"{place} does not answer within {within:g} s"
    except OSError as error:
        return f"{place}: {error.strerror or error}"
    writer.close()
    with contextlib.suppress(OSError):  # it has answered; how it hangs up says nothing
        await writer.wait_closed()
    return ""
