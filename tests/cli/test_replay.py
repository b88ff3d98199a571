"""`exmedic replay`, as it is typed, on a store of incidents that really ran (on the engine's small world)."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.app.offline import reading_file
from daemon.domain.commits import Commit, Progress
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.reports.replay import Recorded
from daemon.reports.replay import replay as run_through
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from statemachines.compiler import Ladder
from statemachines.loader import shipped_directory
from statemachines.model import Definition, UndoPolicy
from tests.cli.conftest import Exmedic, Result
from tests.remediation.world import ALONE, MBX1, Daemon, Mishap, World

MAILBOX = (shipped_directory() / "pop-mailbox.yaml").read_text("utf-8")
Replay = Callable[..., Result]
Sicken = Callable[[Daemon], None]


def cured_by(what: str) -> Sicken:
    def sicken(daemon: Daemon) -> None:
        host = daemon.world.hosts[MBX1]
        host.sick, host.cured_by = True, what

    return sicken


async def _record(folder: Path, sicken: Sicken, server: str, monitor: str) -> Incident:
    store = SqliteStore(folder / "exmedic.db")
    await store.open()
    try:
        # The world names the store that its tests have; it uses the port.
        daemon = Daemon(World(ManualClock()), cast("MemoryStore", store), folder)
        sicken(daemon)
        await daemon.alert(server, monitor)
        return await daemon.drive()
    finally:
        await store.close()


def record(folder: Path, sicken: Sicken, server: str = MBX1, monitor: str = "PopDeepTestMonitor") -> Incident:
    """Let one incident run to its end, into the file exmedic.db."""
    return asyncio.run(_record(folder, sicken, server, monitor))


@pytest.fixture
def replay(exmedic: Exmedic, tmp_path: Path) -> Replay:
    """Replays what was recorded through the Mailbox ladder with some of its text changed."""

    def run(*changes: tuple[str, str], options: tuple[str, ...] = ()) -> Result:
        text = MAILBOX
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "changed.yaml").write_text(text)
        return exmedic(
            "replay", "--from", str(tmp_path / "exmedic.db"), "--runbook", str(tmp_path / "changed.yaml"), *options
        )

    return run


@pytest.mark.parametrize(
    ("cure", "said"),
    [
        ("restart", "as before, resolved after restart_service"),
        ("reboot", "as before, resolved after restart_service, stop_activation, reboot"),
        ("", "as before, escalated after restart_service, stop_activation, reboot"),
    ],
)
def test_the_same_runbook_does_the_same_and_exits_with_0(replay: Replay, tmp_path: Path, cure: str, said: str) -> None:
    record(tmp_path, cured_by(cure))
    before = (tmp_path / "exmedic.db").read_bytes()
    result = replay()
    assert (result.code, result.errors) == (0, "")
    assert f"i1 PopDeepTestMonitor on mbx1: {said}" in result.said
    assert "1 incidents of pop-mailbox, 0 would differ" in result.said
    assert (tmp_path / "exmedic.db").read_bytes() == before


def test_states_are_compared_by_what_they_do_and_not_by_their_names(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("reboot"))
    result = replay(
        ("reprobe", "look_again"), ("reboot:  {use", "boot:  {use"), ("unhealthy: reboot", "unhealthy: boot")
    )
    assert result.code == 0, result.said


def test_another_next_state_is_told_with_what_the_old_ladder_did(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("reboot"))
    result = replay(
        ("unhealthy: reboot}", "unhealthy: escalated}"),
        ("  reboot:  {use: safe_reboot", "  #"),
        ("  final:", "  #"),
        ("undo: {activation: unless_sick_after_reboot}\n", ""),
    )
    assert result.code == 3
    assert (
        "would escalate where the old one went on to ask whether the server may hold a database copy [reboot.copies] "
        "(after reprobe: unhealthy)"
    ) in result.said


def test_a_ladder_that_would_go_on_where_the_old_one_escalated_says_what_it_would_do(
    replay: Replay, tmp_path: Path
) -> None:
    record(tmp_path, cured_by(""))
    more = (
        "final:   {do: verify, then: {healthy: resolved, unhealthy: again}}\n"
        "  again: {do: restart_service, with: {service: MSExchangePOP3BE}, then: {done: last}}\n"
        "  last: {do: verify, then: {healthy: resolved}}"
    )
    result = replay(("final:   {do: verify, then: {healthy: resolved}}", more))
    assert (result.code, result.errors) == (3, "")
    assert (
        "would restart the Windows service MSExchangePOP3BE [again] where the old one escalated "
        "(after final: unhealthy)"
    ) in result.said


def test_a_branch_that_was_not_taken_makes_no_difference(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("reboot"))
    assert replay(("then: {done: reprobe, failed: reprobe}", "then: {done: reprobe}")).code == 0


def test_a_restart_that_failed_and_no_longer_goes_on_would_escalate(replay: Replay, tmp_path: Path) -> None:
    def sicken(daemon: Daemon) -> None:
        cured_by("reboot")(daemon)
        daemon.world.befall("restart_service", Mishap.FAILED)

    record(tmp_path, sicken)
    result = replay(("failed: reprobe", "refused: escalated"))
    assert result.code == 3
    assert "would escalate where the old one went on to ask whether the monitor's problem still exists" in result.said
    assert "(after restart: failed)" in result.said


def test_what_was_not_asked_then_is_said_and_nothing_is_guessed(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("restart"))
    result = replay(
        (
            "unhealthy: restart}}",
            "unhealthy: roles}}\n  roles: {do: server_roles, then: {mailbox: restart, both: restart}}",
        )
    )
    assert result.code == 3
    assert (
        "would ask which roles the server has [roles], which was not asked then; the old one went on to restart the "
        "Windows service MSExchangePOP3BE [restart]"
    ) in result.said


def test_another_action_first_is_told(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("restart"))
    result = replay(
        ("unhealthy: restart}}", "unhealthy: reboot}}"),
        ("  restart: {do", "  #"),
        ("  reprobe: {do", "  #"),
    )
    assert result.code == 3
    assert "would ask whether the server may hold a database copy [reboot.copies]" in result.said


def test_a_changed_parameter_is_a_difference(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("reboot"))
    result = replay(
        ("{service: MSExchangePOP3BE}, then: {done: reprobe", "{service: MSExchangeIMAP4BE}, then: {done: reprobe")
    )
    assert result.code == 3
    assert (
        "would restart the Windows service MSExchangeIMAP4BE [restart] where the old one went on to restart the "
        "Windows service MSExchangePOP3BE [restart] (after verify: unhealthy)"
    ) in result.said


def test_a_deadline_that_a_recorded_step_would_have_missed_is_a_difference(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("reboot"))
    result = replay(("verify:  {do: verify,", "verify:  {do: verify, within: 2m,"))
    assert result.code == 3
    assert "would give up verify [verify] after 2 min; it took 3 min then: unhealthy" in result.said
    assert replay(("verify:  {do: verify,", "verify:  {do: verify, within: 10m,")).code == 0


def test_a_longer_deadline_matters_only_where_the_old_one_gave_up(replay: Replay, tmp_path: Path) -> None:
    def sicken(daemon: Daemon) -> None:
        daemon.world.hosts[MBX1].sick = True
        daemon.world.befall("invoke_probe", *[Mishap.GARBAGE] * 500)

    record(tmp_path, sicken)
    result = replay(("verify:  {do: verify,", "verify:  {do: verify, within: 1h,"))
    assert result.code == 3
    assert "would go on with verify [verify] for 1 h, where the old one gave up after 30 min" in result.said


def test_a_monitor_that_is_no_longer_handled_goes_to_a_human(replay: Replay, tmp_path: Path) -> None:
    record(tmp_path, cured_by("restart"), monitor="PopSelfTestMonitor")
    handled = next(line for line in MAILBOX.splitlines(keepends=True) if "monitor: PopSelfTestMonitor" in line)
    result = replay((handled, ""))
    assert result.code == 3
    assert "would no longer be handled: a human would be paged, and nothing tried" in result.said


def test_a_policy_that_would_bring_databases_back_to_a_sick_server_is_refused(replay: Replay) -> None:
    result = replay(("unless_sick_after_reboot", "always"))
    assert result.code == 1
    assert "[undo-too-early]" in result.said


async def test_another_policy_for_what_was_changed_is_a_difference_on_the_way_out(tmp_path: Path) -> None:
    # Walked without the checker, which allows no other policy for the one setting that this ladder changes.
    incident = await _record(tmp_path, cured_by(""), MBX1, "PopDeepTestMonitor")
    async with reading_file(tmp_path / "exmedic.db") as store:
        stored = await store.runbook(incident.runbook_hash)
        assert stored is not None
        then = Definition.model_validate_json(stored.text)
        recorded = Recorded(
            incident=incident,
            steps=tuple(await store.steps(incident.id)),
            undo=tuple(await store.undo_items(incident.id)),
            audit=tuple(await store.audit_of(incident.id)),
            ladder=Ladder(then),
        )
    always = then.model_copy(update={"undo": {"activation": UndoPolicy.ALWAYS}})
    assert not run_through(recorded, Ladder(then)).differs
    found = run_through(recorded, Ladder(always))
    assert found.differs
    assert found.text == "would put back activation where the old one left it changed (after final: unhealthy)"


def unheard_of(folder: Path) -> None:
    """An incident of a monitor without a runbook, as earlier versions opened one, into the file exmedic.db."""
    now = ManualClock().now()
    incident = Incident(
        id="i1",
        key=Key.of(ALONE, "POP.Protocol", "PopUnheardOfMonitor"),
        health_set="POP.Protocol",
        monitor="PopUnheardOfMonitor",
        status=IncidentStatus.ESCALATED,
        state="escalated",
        opened_at=now,
        ended_at=now,
    )

    async def commit() -> None:
        store = SqliteStore(folder / "exmedic.db")
        await store.open()
        await store.commit(Commit(at=now, progress=Progress(incident=incident)))
        await store.close()

    asyncio.run(commit())


def test_a_monitor_that_none_handled_then_may_be_handled_now_and_its_role_is_not_on_record(
    replay: Replay, tmp_path: Path
) -> None:
    unheard_of(tmp_path)
    assert replay().said == "0 incidents of pop-mailbox, 0 would differ"
    entry = "  - {health_set: POP.Protocol, monitor: PopUnheardOfMonitor, role: mailbox, confirmed: true}\nundo:"
    result = replay(("undo:", entry))
    assert result.code == 3
    assert "would be handled only if the server has the role mailbox, which is not on record" in result.said


def test_machines_get_json_and_one_incident_can_be_chosen(replay: Replay, tmp_path: Path) -> None:
    incident = record(tmp_path, cured_by("reboot"))
    shorter = ("verify:  {do: verify,", "verify:  {do: verify, within: 2m,")
    result = replay(shorter, options=("--incident", "i1", "--json"))
    told = json.loads(result.out)
    assert (result.code, told["runbook"], told["differences"]) == (3, "pop-mailbox", 1)
    assert told["incidents"][0]["server"] == incident.server
    assert told["incidents"][0]["state"] == "verify"
    assert replay(options=("--since", "2100-01-01")).said == "0 incidents of pop-mailbox, 0 would differ"


def test_what_cannot_be_read_or_checked_exits_with_1(replay: Replay, tmp_path: Path) -> None:
    assert replay().code == 1
    record(tmp_path, cured_by("restart"))
    assert "has no incident i9" in replay(options=("--incident", "i9")).said
    dangerous = replay(("then: {done: final}", "then: {done: resolved}"), ("  final:", "  #"))
    assert dangerous.code == 1
    assert "[unverified]" in dangerous.said
