"""What others did, as each server tells it, and what it leaves of the budgets."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.commits import Limit
from daemon.exchange.answers import RecoveryLog, ServerState
from daemon.remediation.actions.preconditions.other_actors import Foreign, counted, foreign, lowered
from statemachines.actions import ACTIONS_OF, Disruption
from tests.remediation.actions.preconditions.known import NOW, member

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
OURS = datetime(2026, 7, 1, tzinfo=NOW.tzinfo)  #: the daemon's clock, which has nothing to do with the servers'


def told(booted: timedelta, *actions: tuple[str, timedelta], clock: datetime = NOW) -> list[Foreign]:
    rows = [{"action": name, "resource": "x", "started": clock - ago, "ended": clock - ago} for name, ago in actions]
    state = ServerState.model_validate({"boot_time": clock - booted, "services": []})
    return list(foreign(member(clock=clock, state=state, recovery=RecoveryLog.model_validate({"actions": rows})), OURS))


def test_a_boot_that_managed_availability_forced_is_one_reboot_and_its() -> None:
    found = told(2 * HOUR - 20 * MINUTE, ("ForceReboot", 2 * HOUR))
    assert [(each.disrupts, each.at, each.by) for each in found] == [
        (Disruption.REBOOT, OURS - 2 * HOUR, "Managed Availability")
    ]


def test_any_other_boot_is_somebodys() -> None:
    late = told(HOUR, ("ForceReboot", 2 * HOUR))
    assert [each.by for each in late] == ["Managed Availability", "somebody"]
    earlier = told(3 * HOUR, ("ForceReboot", 2 * HOUR))
    assert [each.by for each in earlier] == ["Managed Availability", "somebody"]
    assert str(told(HOUR)[0]) == "reboot of mbx2.contoso.com by somebody at 2026-06-30 23:00 UTC"


def test_failovers_that_follow_one_another_within_ten_minutes_are_one_move() -> None:
    ago = [60, 52, 44, 20]
    found = told(30 * HOUR, *(("DatabaseFailover", minutes * MINUTE) for minutes in ago))
    moves = [each.at for each in found if each.disrupts is Disruption.MOVE]
    assert moves == [OURS - 60 * MINUTE, OURS - 20 * MINUTE]


def test_a_restart_of_a_service_is_neither_move_nor_reboot() -> None:
    assert {each.disrupts for each in told(HOUR, ("RestartService", HOUR))} == {Disruption.REBOOT}


def test_a_silent_member_tells_nothing() -> None:
    assert foreign(member(clock=None, state=None, recovery=None, silence="no answer"), OURS) == ()


@given(st.timedeltas(timedelta(days=-400), timedelta(days=400)), st.timedeltas(timedelta(0), timedelta(days=30)))
def test_how_wrong_the_clock_of_a_server_is_does_not_matter(wrong: timedelta, booted: timedelta) -> None:
    action = ("ServerFailover", 3 * HOUR)
    assert told(booted, action, clock=NOW + wrong) == told(booted, action)


others = st.builds(
    Foreign,
    server=st.sampled_from(["mbx1", "mbx2", "mbx3"]),
    disrupts=st.sampled_from(Disruption),
    at=st.timedeltas(timedelta(0), timedelta(days=2)).map(lambda ago: OURS - ago),
    by=st.just("somebody"),
)


@given(st.lists(others, max_size=12), st.integers(0, 8), st.booleans(), st.sampled_from(Disruption))
def test_ours_and_others_together_never_exceed_a_ceiling_and_ladders_are_ours_alone(
    done: list[Foreign], most: int, ladders: bool, disruption: Disruption
) -> None:
    ceiling = Limit(
        what="",
        servers=("mbx1", "mbx2"),
        actions=ACTIONS_OF[disruption],
        since=OURS - timedelta(days=1),
        most=most,
        of_ladders=ladders,
    )
    left = lowered(ceiling, done).most
    theirs = [
        each
        for each in done
        if each.disrupts is disruption and each.server != "mbx3" and each.at > ceiling.since and not ladders
    ]
    assert list(counted(ceiling, done)) == theirs
    assert left == max(0, most - len(theirs))
