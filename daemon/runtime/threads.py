"""Work that may hang, in a thread of its own: it takes nobody's place in a pool, and keeps no process from ending."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")


async def in_own_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. Whoever stops waiting leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def told(result: Result | None, error: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # it is one, where there is no error

    def run() -> None:
        try:
            outcome: tuple[Result | None, BaseException | None] = (work(), None)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome = (None, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(told, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return await done


def within(seconds: float, work: Callable[[], Result], instead: Result) -> Result:
    """What `work` returns, or `instead` where it takes longer; for where no loop runs."""
    answers: SimpleQueue[Result] = SimpleQueue()
    thread = threading.Thread(target=lambda: answers.put(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return instead if answers.empty() else answers.get()
