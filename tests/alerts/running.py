"""An intake that runs for as long as a test needs it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from daemon.alerts.intake import Intake


@contextlib.asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[None]:
    """Run an intake; what it has not committed by the end is not acknowledged."""
    task = asyncio.create_task(intake.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
