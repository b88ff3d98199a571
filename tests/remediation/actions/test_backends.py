"""Who served the probe, from the protocol log; and whether POP is well there."""

from dataclasses import replace
from datetime import timedelta

import pytest

from daemon.domain.values import moment
from daemon.exchange.answers import ProtocolLog
from daemon.remediation.actions.backends import FLUSH, CheckPop, FindBackends, names
from daemon.remediation.actions.contract import Again
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import COLUMNS, CTP, DEEP, FRONT, PROXY, SELF, SLOW, Ill
from tests.remediation.world import CAS1, MBX1, MBX2, MBX3, Mishap, inventory


def tracing() -> Bench:
    """A CAS whose probe fails and whose service writes its log."""
    it = Bench()
    pop = it.world.pop[CAS1]
    pop.ills, pop.log, pop.logging, pop.backends = [Ill(CTP)], True, {FRONT}, (MBX2,)
    return it


async def test_the_server_of_the_probes_session_is_found_and_not_those_of_other_users() -> None:
    done = await tracing().drive(FindBackends(), "find_backends")
    assert (done.outcome, done.result) == ("found", {"servers": [MBX2]})


async def test_the_window_is_the_probes_run_on_the_servers_own_clock() -> None:
    it = tracing()
    began = it.world.local(CAS1)
    await it.drive(FindBackends(), "find_backends")
    call = next(call for call in it.world.calls if call.script == "protocol_log")
    since, until = moment(str(call.args["since"])), moment(str(call.args["until"]))
    assert began <= since <= until <= began + timedelta(seconds=10)
    assert abs(since - it.clock.now()) > timedelta(minutes=10), "the server's clock is eleven minutes slow"
    assert call.executor == CAS1


async def test_lines_that_come_late_are_waited_for_before_the_log_names_nobody() -> None:
    it = tracing()
    it.world.pop[CAS1].backends = ()
    began = it.clock.now()
    done = await it.drive(FindBackends(), "find_backends")
    assert done.outcome == "none"
    assert it.clock.now() - began >= FLUSH


async def test_without_a_row_of_the_probe_nothing_is_concluded_from_the_sessions_of_others() -> None:
    it = tracing()
    pop = it.world.pop[CAS1]
    pop.columns = [name if name != "user" else "puid2" for name in COLUMNS]
    pop.columns.append("user")
    memo = (await it.look(FindBackends(), {})).memo  # type: ignore[union-attr]  # the first look never ends it
    pop.rows = [(when, row) for when, row in pop.rows if "HealthMailbox" not in "".join(row)]
    done = await it.drive(FindBackends(), "find_backends", memo)
    assert done.outcome == "unknown"
    assert "has no row of the probe" in done.detail


async def test_a_probe_that_passes_this_time_traces_nothing() -> None:
    it = tracing()
    it.world.pop[CAS1].ills = []
    done = await it.drive(FindBackends(), "find_backends")
    assert done.outcome == "unknown"
    assert "did not fail this time (Succeeded)" in done.detail


@pytest.mark.parametrize("script", ["pop_settings", "server_state", "invoke_probe", "protocol_log"])
@pytest.mark.parametrize(("mishap", "outcome"), [(Mishap.GARBAGE, "unknown"), (Mishap.UNREACHABLE, "unreachable")])
async def test_what_cannot_be_read_is_never_taken_for_a_log_that_names_nobody(
    script: str, mishap: Mishap, outcome: str
) -> None:
    it = tracing()
    it.world.befall(script, *[mishap] * 500)
    assert (await it.drive(FindBackends(), "find_backends")).outcome == outcome


async def test_one_unreadable_answer_is_got_over() -> None:
    it = tracing()
    for script in ("pop_settings", "server_state", "invoke_probe", "protocol_log"):
        it.world.befall(script, Mishap.GARBAGE)
    assert (await it.drive(FindBackends(), "find_backends")).outcome == "found"


def log(*cells: dict[str, str], columns: list[str] | None = None, files: int = 1) -> ProtocolLog:
    """A log with these cells by column."""
    order = columns or COLUMNS
    rows = tuple(tuple(row.get(name, "") for name in order) for row in cells)
    return ProtocolLog(files=files, columns=tuple(order), rows=rows, truncated=False)


@pytest.mark.parametrize(
    "context",
    [
        'R=ok;Msg="Proxy:MBX2.contoso.lab:1995:SSL"',
        "R=ok;Msg=Proxy:mbx2:9955:SSL",
        "R=ok;Budget=x;proxy: MBX2.CONTOSO.LAB",
        "R=ok;Server=mbx2.contoso.lab;",
    ],
)
def test_a_server_of_the_inventory_is_known_by_its_short_or_full_name_in_any_case(context: str) -> None:
    named = names(log({"context": context}), inventory())
    assert (named.servers, named.strangers, named.unclear) == ((MBX2,), (), "")


def test_fields_are_found_by_name_whatever_the_order_and_spelling_of_the_header() -> None:
    named = names(log({"Context": "Proxy:mbx2:1995"}, columns=["Context", "user", "parameters "]), inventory())
    assert named.servers == (MBX2,)


@pytest.mark.parametrize(
    "context",
    [
        "see mbx2.contoso.lab.",
        "(mbx2.contoso.lab)",
        "-mbx2.contoso.lab-",
        "a..mbx2.contoso.lab...",
        "user@x.mbx2;mbx2.contoso.lab",
    ],
)
def test_a_server_named_in_full_is_found_whatever_stands_around_it(context: str) -> None:
    assert names(log({"context": context}), inventory()).servers == (MBX2,)


@pytest.mark.parametrize("context", ["mbx2", "x-mbx2.contoso.lab", "mbx2.contoso.lab.evil", "mbx2.contoso..lab", "..."])
def test_a_name_that_only_looks_like_a_servers_is_none(context: str) -> None:
    named = names(log({"context": context}), inventory())
    assert (named.servers, named.strangers, named.unclear) == ((), (), "")


@pytest.mark.parametrize("sign", ["a", "a-", "a.", ".", "-", "proxy:", "proxy: ", "proxy:a-", "x1.y2 "])
def test_a_million_letters_of_a_log_are_read_in_no_time(sign: str) -> None:
    # What takes the square of the length does not end before the suite's time-out: it took 22 s for 24,000 letters.
    text = sign * (1_000_000 // len(sign))
    named = names(log({"context": f"{text} mbx2.contoso.lab"}), inventory())
    assert named.servers == (MBX2,) or "names none" in named.unclear


def test_users_and_their_domains_are_not_servers() -> None:
    rows = {"user": "mbx1@contoso.lab", "parameters": "HealthMailbox1@contoso.lab", "context": "R=ok"}
    named = names(log(rows, {"user": "mbx1.contoso.lab"}), inventory())
    assert (named.servers, named.strangers, named.unclear) == ((), (), "")


def test_a_server_outside_the_inventory_is_told_and_never_asked() -> None:
    named = names(log({"context": "Proxy:evil.example.org:1995"}, {"context": "Proxy:mbx2:1995"}), inventory())
    assert (named.servers, named.strangers) == ((MBX2,), ("evil.example.org",))


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (log(files=0), "no log file"),
        (log({"user": "x"}, columns=["user"]), "no column context or parameters"),
        (log({"context": "ProxyNotAuthenticated"}), "names none"),
        (log().model_copy(update={"rows": (("too", "few"),)}), "a row has 2 fields"),
    ],
)
def test_a_log_that_cannot_be_understood_says_why(spoilt: ProtocolLog, why: str) -> None:
    assert why in names(spoilt, inventory()).unclear


def checking(*servers: str) -> Bench:
    return Bench(params={"servers": list(servers)})


async def test_all_healthy_is_healthy() -> None:
    it = checking(MBX2, MBX3)
    assert (await it.drive(CheckPop(), "check_pop")).outcome == "healthy"


async def test_each_unhealthy_monitor_is_named_with_its_server_once() -> None:
    it = checking(MBX2, MBX3)
    it.world.pop[MBX2].ills = [Ill(DEEP), Ill(SELF)]
    done = await it.drive(CheckPop(), "check_pop")
    assert done.outcome == "unhealthy"
    assert done.result["sick"] == [
        {"server": MBX2, "health_set": "POP.Protocol", "monitor": DEEP},
        {"server": MBX2, "health_set": "POP.Protocol", "monitor": SELF},
    ]


async def test_what_the_front_end_of_a_server_says_is_not_asked_and_neither_is_what_may_speak_of_either() -> None:
    it = checking(MBX2)
    it.world.around[MBX2].client_access = True
    it.world.pop[MBX2].ills = [Ill(CTP), Ill(PROXY), Ill(SLOW)]
    assert (await it.drive(CheckPop(), "check_pop")).outcome == "healthy"
    it.world.pop[MBX2].ills.append(Ill(SELF))
    done = await it.drive(CheckPop(), "check_pop")
    assert done.result["sick"] == [{"server": MBX2, "health_set": "POP.Protocol", "monitor": SELF}]


async def test_what_may_speak_of_either_speaks_of_the_back_end_where_there_is_no_front_end() -> None:
    it = checking(MBX2)
    it.world.pop[MBX2].ills = [Ill(SLOW)]
    done = await it.drive(CheckPop(), "check_pop")
    assert done.result["sick"] == [{"server": MBX2, "health_set": "POP", "monitor": SLOW}]


@pytest.mark.parametrize("value", ["Degraded", "Repairing", "Unavailable", "UnInitialized", "Unknown"])
async def test_what_is_neither_is_looked_at_again_and_then_unknown(value: str) -> None:
    it = checking(MBX2, MBX3)
    it.world.pop[MBX3].values[DEEP] = value
    first = await it.look(CheckPop(), {})
    assert isinstance(first, Again)
    assert (await it.drive(CheckPop(), "check_pop", first.memo)).outcome == "unknown"
    it.world.pop[MBX3].values.clear()
    assert (await it.drive(CheckPop(), "check_pop")).outcome == "healthy"


async def test_a_disabled_monitor_says_nothing_and_a_stale_one_is_not_healthy() -> None:
    it = checking(MBX2)
    it.world.pop[MBX2].values[SELF] = "Disabled"
    assert (await it.drive(CheckPop(), "check_pop")).outcome == "healthy"
    it.world.pop[MBX2].stale.add(DEEP)
    assert (await it.drive(CheckPop(), "check_pop")).outcome == "unknown"


@pytest.mark.parametrize(("mishap", "outcome"), [(Mishap.GARBAGE, "unknown"), (Mishap.UNREACHABLE, "unreachable")])
async def test_an_answer_that_is_missing_is_never_healthy(mishap: Mishap, outcome: str) -> None:
    it = checking(MBX2)
    it.world.befall("server_health", *[mishap] * 500)
    assert (await it.drive(CheckPop(), "check_pop")).outcome == outcome


async def test_an_answer_without_rows_is_unknown() -> None:
    it = checking(MBX2)
    it.world.around[MBX2].mailbox = it.world.around[MBX2].client_access = False
    it.world.pop[MBX2].values = {"AverageCommandProcessingTimeGt60sMonitor": "Disabled"}
    done = await it.drive(CheckPop(), "check_pop")
    assert (done.outcome, "no row of POP's back end" in done.detail) == ("unknown", True)


async def test_a_server_that_left_the_inventory_meanwhile_is_not_asked() -> None:
    it = checking(MBX1)
    it.servers = type(it.servers)(tuple(replace(one) for one in it.servers if one.name != MBX1))
    done = await it.drive(CheckPop(), "check_pop")
    assert done.outcome == "unknown"
    assert it.world.calls == []
