"""The stories on which every mutant is played: all branches that the lab can play, and what may befall each step.

They are the acceptance tests' own scenarios, told to the simulation, and for some of them every moment at which the
ladder moves on: there an operator closes the incident, the daemon is killed, the server cures itself, or nobody can
read it any more; and whatever can go wrong with each effect.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from daemon.lab.faults import Fault
from daemon.simulation.run import Outcome, play
from daemon.simulation.story import Break, Cure, Event, Kill, Mishap, Order, Publish, Story
from daemon.simulation.taken import OWNED, in_scom
from statemachines.actions import ACTIONS, COMMON_OUTCOMES
from statemachines.model import Definition
from statemachines.table import CLOSE
from tests.acceptance.page_ctp import CTP_SCENARIOS
from tests.acceptance.page_refusals import UNNAMED
from tests.acceptance.scenarios import CTP, DEEP, HEALTH_SETS, PROXY, SELF, SLOW, Options, Scenario
from tests.acceptance.site import fqdn
from tests.chaos.branches import branches

_SEED = 1  #: of the little that is left to chance: latencies
_ALERT = 60.0  #: seconds after the start
_AFTER = 1.5  #: seconds after a move: the next state has begun, and is not over
_READS = 60  #: uses of a port that go wrong until the end of any deadline

#: The scenarios of which every moment is varied: the longest ways of each ladder, on each kind of server.
_LONG: tuple[tuple[str, str, Fault, dict[Fault, dict[str, object]]], ...] = (
    ("mbx1", DEEP, Fault.REBOOT_CURES, {}),
    ("mbx4", SELF, Fault.INCURABLE, {}),
    ("cas1", PROXY, Fault.REBOOT_CURES, {}),
    ("cas3", PROXY, Fault.INCURABLE, {}),
    ("cas1", CTP, Fault.REBOOT_CURES, {Fault.LOG_NAMES_NOBODY: {}}),
    ("cas1", CTP, Fault.INCURABLE, {}),
    ("cas1", SLOW, Fault.REBOOT_CURES, {}),
    ("mbx1", SLOW, Fault.REBOOT_CURES, {}),
    ("mbx4", SLOW, Fault.INCURABLE, {}),
    ("multi1", SLOW, Fault.INCURABLE, {}),
)
_ALSO_LONG = ("the healed Mailbox server", "each unhealthy monitor")
#: Each kind of server with each kind of monitor.
_KINDS = (("mbx1", DEEP), ("cas1", PROXY), ("cas1", CTP), ("cas1", SLOW), ("mbx1", SLOW), ("multi1", SLOW))
_EFFECTS = {"restart_service": 3, "set_activation": 2, "reboot": 1, "set_protocol_log": 2}
_LOST = ("unreachable", "held_up", "lost", "dies when sent")
_READ = (
    "server_state",
    "exchange_server",
    "dag_health",
    "database_copies",
    "recovery_log",
    "protocol_log",
    "pop_settings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A story, and what the shipped ladder of one runbook did on it."""

    shows: str
    story: Story
    passed: frozenset[tuple[str, str]]
    entered: frozenset[str]  #: "" if a ladder was opened
    broken: tuple[str, ...]


def stories(definitions: tuple[Definition, ...], runbook: str, *, vary: bool = True) -> list[Played]:
    """Every story with an alert for that runbook, those that show whole branches first; or only these."""
    found: dict[tuple[object, ...], Played] = {}
    for shows, story, long in _branches(_handler(definitions, runbook)):
        outcome = play(story, definitions)
        found.setdefault((outcome.digest,), _played(shows, outcome, definitions, runbook))
        for what, varied in _varied(story, outcome, runbook) if long and vary else ():
            other = play(varied, definitions)
            # Deaths and lost answers differ although the ladder goes the same way; of the rest one of a way is enough.
            key = (*_way(other, runbook), what if _same_way(varied, story) else "")
            found.setdefault(key, _played(f"{shows}; {what}", other, definitions, runbook))
    return sorted(found.values(), key=lambda played: "; " in played.shows)


def _way(outcome: Outcome, runbook: str) -> tuple[object, ...]:
    """The way of that runbook's ladders, and what the servers saw."""
    return (outcome.effects, *((move.state, move.outcome) for move in outcome.moves if move.runbook == runbook))


def _same_way(varied: Story, story: Story) -> bool:
    killed = any(isinstance(event, Kill) for event in varied.events)
    return killed or varied.mishaps != story.mishaps


def long_stories(definitions: tuple[Definition, ...], runbook: str) -> list[Played]:
    """Only the longest branches of that runbook, and nothing else befalls them."""
    return [
        _played(shows, play(story, definitions), definitions, runbook)
        for shows, story, long in _branches(_handler(definitions, runbook))
        if long
    ]


def never_left(definition: Definition, played: Sequence[Played]) -> dict[str, list[str]]:
    """By state the outcomes that come about on none of these stories."""
    passed = frozenset[tuple[str, str]]().union(*(one.passed for one in played))
    found = {
        name: [o for o in (*ACTIONS[state.do].outcomes, *COMMON_OUTCOMES) if (name, o) not in passed and o != "more"]
        for name, state in definition.states.items()
    }
    return {name: outcomes for name, outcomes in found.items() if outcomes}


def _handler(definitions: Sequence[Definition], runbook: str) -> Definition:
    return next(definition for definition in definitions if definition.runbook == runbook)


def _played(shows: str, outcome: Outcome, definitions: Sequence[Definition], runbook: str) -> Played:
    ours = [move for move in outcome.moves if move.runbook == runbook]
    start = _handler(definitions, runbook).start
    return Played(
        shows=shows,
        story=outcome.story,
        passed=frozenset((move.state, move.outcome) for move in ours),
        entered=frozenset({start, *(move.target for move in ours)}) if ours else frozenset(),
        broken=tuple(str(violation) for violation in outcome.violations),
    )


def _branches(handler: Definition) -> Iterator[tuple[str, Story, bool]]:
    """Of each branch of a runbook what it shows, its story, and whether its moments are varied."""
    for shows, scenarios, long in _told():
        keys = [(one.health_set or HEALTH_SETS[one.monitor], one.monitor) for one in scenarios]
        if any(handler.handled(*key) for key in keys):
            yield shows, _story(scenarios), long
    for server, monitor in _KINDS:
        if handler.handled(HEALTH_SETS[monitor], monitor):
            yield from ((shows, story, False) for shows, story in _more(server, monitor))


def _told() -> Iterator[tuple[str, Sequence[Scenario], bool]]:
    for server, monitor, sickness, others in _LONG:
        faults: dict[Fault, Options] = {sickness: {"monitor": monitor}, **others}
        scenario = Scenario(batch="", shows="", server=server, monitor=monitor, faults=faults)
        yield f"{monitor} on {server}, {', '.join(faults)}", [scenario], True
    for whole in (*CTP_SCENARIOS, *UNNAMED):
        if whole.shows.startswith(_ALSO_LONG):
            yield whole.shows, [whole], True
    for branch in branches():
        yield f"{branch.ladder}: {branch.shows}", branch.scenarios, False


def _more(server: str, monitor: str) -> Iterator[tuple[str, Story]]:
    """What the acceptance tests have only for one of the ladders."""
    told = f"{monitor} on {server}"
    sicknesses: tuple[dict[Fault, Options], ...] = (
        {Fault.RESTART_CURES: {"monitor": monitor, "restarts": 2}},
        {Fault.REBOOT_CURES: {"monitor": monitor}, Fault.SERVICE_HANGS: {}},
        {Fault.REBOOT_CURES: {"monitor": monitor}, Fault.NEVER_BACK: {}},
        {Fault.REBOOT_CURES: {"monitor": monitor}, Fault.DATABASE_STUCK: {}},
        {Fault.INCURABLE: {"monitor": monitor}, Fault.RECOVERY_RUNNING: {"minutes": 20}},
        {Fault.HEALS_ITSELF: {"monitor": monitor, "minutes": 10}},
        {Fault.INCURABLE: {"monitor": monitor}, Fault.ROLES_DIFFER: {}},
        {Fault.SECOND_TARGET_BAD: {"monitor": monitor}},
        {Fault.INCURABLE: {"monitor": monitor}, Fault.SERVICE_HANGS: {"service": "MSExchangePOP3"}},
        {},
    )
    for faults in sicknesses:
        scenario = Scenario(batch="", shows="", server=server, monitor=monitor, faults=faults)
        yield f"{told}, {', '.join(faults) or 'nothing'}", _story([scenario])
    # Nobody can say what became of an effect.
    for fault, script in ((Fault.NEVER_BACK, "reboot"), (Fault.SERVICE_HANGS, "restart_service")):
        sick = {Fault.INCURABLE: {"monitor": monitor}, fault: {}}
        story = _story([Scenario(batch="", shows="", server=server, monitor=monitor, faults=sick)])
        lost = Mishap(place=f"shell.{script}", nth=1, kind="lost")
        yield f"{told}, {fault}, answer of {script} lost", replace(story, mishaps=(*story.mishaps, lost))
    story = _story(
        [Scenario(batch="", shows="", server=server, monitor=monitor, faults={Fault.INCURABLE: {"monitor": monitor}})]
    )
    for script in _READ:
        for first in (1, 2, 3):
            never = tuple(Mishap(place=f"shell.{script}", nth=nth, kind="lost") for nth in range(first, _READS))
            yield f"{told}, {script} lost from use {first}", replace(story, mishaps=never)
    for script, most in _EFFECTS.items():
        for first in range(1, most + 1):
            never = tuple(Mishap(place=f"shell.{script}", nth=nth, kind="unreachable") for nth in range(first, _READS))
            yield f"{told}, {script} unreachable from use {first}", replace(story, mishaps=never)


def _story(scenarios: Sequence[Scenario]) -> Story:
    events: list[Event] = []
    mishaps: list[Mishap] = []
    for scenario in scenarios:
        for server, faults in {scenario.server: scenario.faults, **scenario.elsewhere}.items():
            for fault, options in faults.items():
                events.append(Break(at=0, server=fqdn(server), fault=fault, options=tuple(options.items())))
                kind = {Fault.GARBAGE_ANSWER: "garbage", Fault.EMPTY_ANSWER: "empty"}.get(fault)
                if kind is not None:  # of the endpoint, which the simulation does without
                    place = f"shell.{options['script']}"
                    mishaps += [Mishap(place=place, nth=nth, kind=kind) for nth in range(1, _READS)]
        events.append(_alert(scenario))
    return Story(seed=_SEED, events=tuple(sorted(events, key=lambda event: event.at)), mishaps=tuple(mishaps))


def _alert(scenario: Scenario) -> Publish:
    body = {
        "id": f"{scenario.server} {scenario.monitor}",
        "server": fqdn(scenario.server),
        "health_set": scenario.health_set or HEALTH_SETS[scenario.monitor] or "POP",
        "monitor": scenario.monitor or None,
        "raised_at": "2026-11-02T00:59:00Z",
        "summary": "POP does not answer",
    }
    return Publish(at=_ALERT, topic="alerts/exmedic/scom", payload=json.dumps(body).encode())


def _varied(story: Story, played: Outcome, runbook: str) -> Iterator[tuple[str, Story]]:
    """The story with something more that happens, at each moment and to each effect."""
    server = next(event for event in story.events if isinstance(event, Break))
    alert = next(event for event in story.events if isinstance(event, Publish))
    incurable = server.fault is Fault.INCURABLE
    for move in played.moves:
        if move.runbook != runbook or move.outcome == CLOSE:
            continue
        at = move.at + _AFTER
        told = f"in {move.target or 'the first state'}"
        happens: tuple[tuple[str, Event], ...] = (
            ("an operator closes it", Order(at=at, command="close")),
            ("somebody takes it", in_scom(alert, at, OWNED)),
            ("the daemon is killed", Kill(at=at)),
            ("it is cured", Cure(at=at, server=server.server, fault=server.fault)),
            ("no probe runs", Break(at=at, server=server.server, fault=Fault.PROBE_CANNOT_RUN)),
            ("it is stale", Break(at=at, server=server.server, fault=Fault.STALE_MONITOR)),
            ("it is down", Break(at=at, server=server.server, fault=Fault.MEMBER_DOWN)),
            ("somebody begins to work on it", Break(at=at, server=server.server, fault=Fault.MAINTENANCE)),
        )
        # Where nothing cures it the way is the same up to the last look: one kind of event is enough there.
        for what, event in happens[:1] if incurable else happens:
            yield f"{told} {what}", replace(story, events=tuple(sorted((*story.events, event), key=lambda e: e.at)))
    for script, most in ({} if incurable else _EFFECTS).items():
        for nth in range(1, most + 1):
            for kind in _LOST:
                mishap = Mishap(place=f"shell.{script}", nth=nth, kind=kind)
                yield str(mishap), replace(story, mishaps=(*story.mishaps, mishap))
