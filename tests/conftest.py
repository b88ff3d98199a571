"""Fixtures of all tests: the real parts, and the check that a test leaves no task behind."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.powershell.plugin import Plugin
from tests.realparts.journald import Journald
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import HANG
from tests.remediation.world import Daemon, World


def pytest_sessionstart() -> None:
    # looptime asks for the current loop before every test that is not async. Python would make one, which nobody
    # closes, and the next async test would fail of that warning. With "none" set on purpose, it makes none.
    asyncio.set_event_loop(None)


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout looks
def pytest_configure(config: pytest.Config) -> None:
    """Only a hang takes too long. Warnings are errors, but for one of apprise's own that no configuration avoids."""
    if config.option.timeout is None:
        config.option.timeout = 2 * HANG
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    config.pluginmanager.register(Plugin())
    config.addinivalue_line("filterwarnings", "ignore:'imghdr' is deprecated:DeprecationWarning")


#: Where the tests are that take long. A worker that comes to one last keeps all the others waiting.
LONG = ("acceptance", "chaos", "faults", "mutants", "simulation")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the long tests to all workers like cards, for each to begin with; xdist gives each a share of the list."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    tests = Path(__file__).parent
    long = [item for item in items if item.path.relative_to(tests).parts[0] in LONG]
    short = [item for item in items if item.path.relative_to(tests).parts[0] not in LONG]
    items[:] = [item for worker in range(workers) for item in long[worker::workers] + short[worker::workers]]


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts real brokers for this test alone; the arguments are those of `Mosquitto` after its directory."""
    brokers: list[Mosquitto] = []

    def start(*arguments: str, **named: str) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path / f"mosquitto{len(brokers)}", *arguments, **named))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A real broker for this test alone."""
    return start_mosquitto()


@pytest.fixture
def journald() -> Iterator[Journald]:
    """A real journal for this test alone."""
    journal = Journald()
    yield journal
    journal.remove()


@pytest.fixture(autouse=True)
def _logging_is_reset() -> Iterator[None]:
    """A test that configures structlog must not change what the next one sees."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _leaks(request: pytest.FixtureRequest) -> None:
    """Ask for the check below in tests that have an event loop."""
    if inspect.iscoroutinefunction(getattr(request.node, "function", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    """Fail a test that ends with tasks still running: in the daemon each would be a loop nobody stops."""
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # tasks that are cancelled already need a turn or two to end
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    assert not left, f"tasks left running: {left}"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon in mode auto on a healthy world."""
    store = MemoryStore()
    await store.open()
    yield Daemon(World(ManualClock()), store, tmp_path)
    await store.close()
