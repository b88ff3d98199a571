"""How many Exchange sessions of ours a server may have: the seventh call waits, within its own deadline."""

import asyncio

import pytest

from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.exchange.sessions import AT_MOST, BoundedShell


class Working:
    """A shell whose calls take a minute. `most`: so many ran at once, by executor; `timeouts`: what they were given."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.timeouts: list[float] = []

    async def run(self, call: Call, _permit: Permit | None = None) -> Reply:
        where = call.executor
        self.now[where] = self.now.get(where, 0) + 1
        self.most[where] = max(self.most.get(where, 0), self.now[where])
        self.timeouts.append(call.timeout)
        try:
            await asyncio.sleep(60)
        finally:
            self.now[where] -= 1
        return Reply(kind=ReplyKind.OK, result={})

    async def close(self) -> None:
        """Nothing to close."""


def call(executor: str = "mbx1", script: str = "server_health", *, timeout: float = 600.0) -> Call:
    return Call(
        executor=executor, script=script, args={}, step_id="i1-01", timeout=timeout, read_only=script != "reboot"
    )


@pytest.mark.looptime
async def test_no_more_than_six_sessions_are_open_on_one_server_effects_included() -> None:
    inner = Working()
    shell = BoundedShell(inner)
    calls = [call(script="reboot" if number % 3 else "server_health") for number in range(4 * AT_MOST)]
    replies = await asyncio.gather(*(shell.run(each) for each in [*calls, *(call("mbx2") for _ in range(AT_MOST))]))
    assert {reply.kind for reply in replies} == {ReplyKind.OK}
    assert inner.most == {"mbx1": AT_MOST, "mbx2": AT_MOST}


@pytest.mark.looptime
async def test_what_opens_no_session_does_not_wait_for_one() -> None:
    inner = Working()
    shell = BoundedShell(inner)
    await asyncio.gather(*(shell.run(call(script="server_state")) for _ in range(3 * AT_MOST)))
    assert inner.most == {"mbx1": 3 * AT_MOST}


@pytest.mark.looptime
async def test_waiting_counts_in_the_deadline_and_at_its_end_nothing_was_sent() -> None:
    inner = Working()
    shell = BoundedShell(inner)
    full = [asyncio.create_task(shell.run(call())) for _ in range(AT_MOST)]
    await asyncio.sleep(0)
    late, in_time = await asyncio.gather(shell.run(call(timeout=59.0)), shell.run(call(timeout=100.0)))
    assert (late.kind, in_time.kind) == (ReplyKind.UNREACHABLE, ReplyKind.OK)
    assert "server_health on mbx1: 6 Exchange sessions of ours were open there" in late.detail
    assert inner.timeouts[AT_MOST:] == [pytest.approx(40.0)]
    await asyncio.gather(*full)


@pytest.mark.looptime
async def test_who_gives_up_waiting_or_working_leaves_its_place_to_the_next() -> None:
    inner = Working()
    shell = BoundedShell(inner)
    tasks = [asyncio.create_task(shell.run(call())) for _ in range(2 * AT_MOST)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    replies = await asyncio.gather(*(shell.run(call()) for _ in range(AT_MOST)))
    assert {reply.kind for reply in replies} == {ReplyKind.OK}
    assert inner.most == {"mbx1": AT_MOST}
