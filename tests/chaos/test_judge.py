"""The judge finds what must not be: each defect is put into the facts of a run in which all is well."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.judge import Effect, End, Facts, judge, same_end

MBX = "mbx4.contoso.lab"
KEY = f"popdeeptestmonitor (pop.protocol) on {MBX}"
RESTART = Effect(KEY, "restart", "restart", MBX)
MOVE = Effect(KEY, "reboot.move", "stop_activation", MBX)
REBOOT = Effect(KEY, "reboot.reboot", "reboot", MBX)
UNDO = Effect(KEY, "undo.resolved activation", "allow_activation", MBX, undo=True)
UNDO_AT_ESCALATION = Effect(KEY, "undo.escalated activation", "allow_activation", MBX, undo=True)
CHAIN = {1: "aa", 2: "bb", 3: "cc"}
HEALED = {KEY: End("resolved", "healthy: the probe succeeded")}
GIVEN_UP = {KEY: End("escalated", "reboot.reboot: unknown: the server cannot be asked")}

WELL = Facts(
    wanted=frozenset({KEY}),
    ends=HEALED,
    effects=(RESTART, MOVE, REBOOT, UNDO),
    chain=CHAIN,
    emitted=frozenset(CHAIN.items()),
    made=frozenset({1, 2, 3, 5}),
    heard=frozenset({1, 2, 3, 5}),
    alerts=1,
)
STOPPED_SHORT = replace(WELL, ends=GIVEN_UP, effects=(RESTART, MOVE, UNDO_AT_ESCALATION))

BROKEN: Mapping[str, tuple[dict[str, Any], str]] = {
    "a doubled reboot": ({"effects": (RESTART, MOVE, REBOOT, REBOOT, UNDO)}, f"reboot of {MBX} happened 2 times"),
    "a doubled undo": ({"effects": (*WELL.effects, UNDO)}, "allow_activation of"),
    "a reboot of another server": (
        {"effects": (*WELL.effects, replace(REBOOT, server="mbx5.contoso.lab"))},
        "reboot of mbx5.contoso.lab at",
    ),
    "a reboot at another place of the ladder": (
        {"effects": (*WELL.effects, replace(REBOOT, rung="again"))},
        "does not happen undisturbed",
    ),
    "an effect left out, and nobody told": ({"effects": (RESTART, MOVE, UNDO)}, "not done, and nobody was told"),
    "a missing undo": ({"effects": (RESTART, MOVE, REBOOT)}, f"allow_activation of {MBX}"),
    "something left changed in silence": ({"changed": frozenset({(MBX, "activation")})}, "is left changed"),
    "an undo that is still pending": ({"pending": frozenset({(MBX, "activation")})}, "still to be put back"),
    "something the lab refused": ({"effects": (*WELL.effects, Effect("x", "y", "violation", MBX))}, "the lab refused"),
    "a missing bus message": ({"heard": frozenset({1, 2, 5})}, "never heard on the bus: seq 3"),
    "a bus message from nowhere": ({"heard": frozenset({1, 2, 3, 4, 5})}, "not from the store: seq 4"),
    "an audit row never emitted": ({"emitted": frozenset({(1, "aa"), (3, "cc")})}, "never emitted: 2"),
    "an audit row emitted with another hash": (
        {"emitted": frozenset({*CHAIN.items(), (3, "dd")})},
        "not in the chain",
    ),
    "a broken chain": ({"audit": "row 2: row 2 was rewritten"}, "row 2 was rewritten"),
    "a ledger that does not balance": ({"imbalance": "2 accepted, 1 stored"}, "2 accepted, 1 stored"),
    "an alert stored twice": ({"alerts": 2}, "2 alerts are stored, 1 were sent"),
    "a claim left over": ({"claims": (MBX,)}, f"{MBX} is still claimed"),
    "a quarantine that nobody knows of": ({"quarantines": (MBX,)}, "is quarantined"),
    "an incident that never ended": ({"ends": {KEY: End("open", "")}}, "has not ended"),
    "an incident that was lost": ({"ends": {}}, "has no incident"),
    "an escalation that does not say why": ({"ends": {KEY: End("escalated", "")}}, "does not say why"),
    "a store that tells something else than the lab": ({"disagreement": "in the store only"}, "in the store only"),
    "an error of our own": ({"internal_errors": ("KeyError",)}, "KeyError"),
}


def test_a_run_like_the_undisturbed_one_is_well() -> None:
    assert judge(WELL, WELL) == []
    assert same_end(WELL, WELL)


def test_fewer_effects_are_well_with_an_escalation_that_says_why() -> None:
    assert judge(WELL, STOPPED_SHORT) == []
    assert not same_end(WELL, STOPPED_SHORT)


def test_what_another_monitor_of_the_server_does_instead_is_well_and_what_it_does_too_is_not() -> None:
    other = replace(REBOOT, whose=KEY.replace("deep", "self"))
    assert judge(WELL, replace(WELL, effects=(RESTART, MOVE, other, UNDO))) == []
    assert judge(WELL, replace(WELL, effects=(*WELL.effects, other)))


@pytest.mark.parametrize("defect", BROKEN)
def test_it_finds(defect: str) -> None:
    changes, told = BROKEN[defect]
    found = judge(WELL, replace(WELL, **changes))
    assert [violation for violation in found if told in violation], found


def test_healed_where_nothing_heals_is_no_end() -> None:
    incurable = replace(WELL, ends={KEY: End("escalated", "final: unhealthy: still")}, effects=(RESTART, MOVE, REBOOT))
    assert list(ends_of(incurable, WELL))


def test_an_escalation_for_another_reason_is_another_end() -> None:
    other = replace(WELL, ends={KEY: End("escalated", "final: unhealthy: still")})
    assert not same_end(STOPPED_SHORT, other)


def ends_of(undisturbed: Facts, found: Facts) -> Iterator[str]:
    return (violation for violation in judge(undisturbed, found) if "undisturbed escalated" in violation)
