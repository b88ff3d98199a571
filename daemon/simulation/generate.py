"""Makes a story from a seed: broken servers and alerts of them, then what an unlucky night adds."""

import json
import random
from collections.abc import Iterator

from daemon.config.guardrails import SharedCause, Storms
from daemon.lab.faults import Fault
from daemon.simulation.exchange_says import exchange_says
from daemon.simulation.rules import CANARY
from daemon.simulation.story import (
    EACH_FOR_ITSELF,
    Away,
    Break,
    ClockStep,
    Command,
    Cure,
    Event,
    Kill,
    Mishap,
    Order,
    Outage,
    Publish,
    Story,
)
from daemon.simulation.taken import takers
from daemon.simulation.windows_says import windows_says

_SERVERS = ("mbx1", "mbx2", "mbx3", "mbx4", "mbx5", "mbx6", "cas1", "cas2", "cas3", "multi1", "alone1")
_MAILBOX = (("POP.Protocol", "PopDeepTestMonitor"), ("POP.Protocol", "PopSelfTestMonitor"))
_FRONT_END = (("POP", "PopCTPMonitor"), ("POP.Proxy", "PopProxyTestMonitor"))
_NAMELESS = ("PopDeepTestMonitor", "PopCTPMonitor")  #: of which some alerts name only the health set
_COUNTER = ("POP", "AverageCommandProcessingTimeGt60sMonitor")
_NIGHT = 4 * 3600.0  #: seconds in which things happen

#: What may be wrong with a sick server.
_SICKNESS: tuple[tuple[Fault, tuple[tuple[str, object], ...]], ...] = (
    (Fault.RESTART_CURES, ()),
    (Fault.RESTART_CURES, (("restarts", 2),)),
    (Fault.REBOOT_CURES, ()),
    (Fault.REBOOT_CURES, ()),
    (Fault.INCURABLE, ()),
    (Fault.HEALS_ITSELF, (("minutes", 4),)),
    (Fault.HEALS_ITSELF, (("minutes", 25),)),
)
#: What else may be wrong, with any server.
_TROUBLE: tuple[tuple[Fault, tuple[tuple[str, object], ...]], ...] = (
    (Fault.PROBE_CANNOT_RUN, ()),
    (Fault.DATABASE_STUCK, ()),
    (Fault.SERVICE_HANGS, ()),
    (Fault.NEVER_BACK, ()),
    (Fault.STALE_MONITOR, ()),
    (Fault.SECOND_TARGET_BAD, ()),
    (Fault.LAGGED_COPIES, ()),
    (Fault.SUSPENDED_COPIES, ()),
    (Fault.NODE_PAUSED, ()),
    (Fault.MEMBER_DOWN, ()),
    (Fault.MAINTENANCE, (("form", "server_wide_offline"),)),
    (Fault.MAINTENANCE, (("form", "activation"),)),
    (Fault.RECOVERY_RUNNING, (("minutes", 20),)),
    (Fault.RECOVERY_RECENT, (("minutes", 3),)),
    (Fault.START_TYPE, ()),
    (Fault.POPPROXY_INACTIVE, ()),
    (Fault.REPLICATION_FAILED, ()),
    (Fault.ROLES_DIFFER, ()),
    (Fault.OTHER_CAS_SICK, ()),
    (Fault.BACKEND_SICK, ()),
)
#: Which mishaps there are at which port; the first column is how often each is chosen.
MISHAPS: tuple[tuple[int, tuple[str, ...], int, tuple[str, ...]], ...] = (
    (
        12,
        ("shell.restart_service", "shell.set_activation", "shell.reboot", "shell.set_protocol_log"),
        3,
        ("unreachable", "vanished", "held_up", "lost", "late", "garbage", "silent", "dies when sent"),
    ),
    (
        4,
        ("shell.server_health", "shell.invoke_probe", "shell.database_copies", "shell.server_state"),
        40,
        ("unreachable", "lost", "late", "garbage", "empty", "silent"),
    ),
    (2, ("shell.step_running", "shell.dag_health", "shell.exchange_server"), 6, ("lost", "garbage", "empty")),
    (1, ("shell.protocol_log", "shell.pop_settings", "shell.recovery_log"), 3, ("lost", "garbage", "empty")),
    (6, ("store.commit",), 60, ("fails before", "fails after", "dies before", "dies after")),
    (2, ("store.ingest",), 4, ("fails before", "fails after", "dies before", "dies after")),
    (1, ("store.outbox_delivered", "store.set_cursor"), 40, ("fails before", "fails after", "dies after")),
    (1, ("store.due_incidents", "store.steps", "store.open_step"), 60, ("fails before", "dies before")),
    (2, ("bus.ack",), 4, ("fails before", "fails after", "dies before", "dies after")),
    (2, ("bus.publish",), 30, ("fails before", "fails after", "dies before", "dies after")),
    (2, ("notifier.notify",), 3, ("fails before", "fails after", "dies before", "dies after")),
    (1, ("journal.emit",), 60, ("fails before", "fails after", "dies before", "dies after")),
)  # fmt: skip
#: Errors of a script's own, before and after it has done its work: at each of the shell's places.
OWN_ERRORS = ("script_broken", "script_dies")


def story_of(seed: int) -> Story:
    """The story of a seed; always the same."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    events: list[Event] = []
    servers = chance.sample(_SERVERS, chance.choice((1, 1, 1, 2, 3)))
    for server in servers:
        events += _sick(chance, server)
    events += [event for _ in range(chance.choice((0, 0, 1, 1, 2))) for event in _trouble(chance, servers)]
    events += [_bad_luck(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    events += _noise(chance)
    mishaps = [_mishap(chance) for _ in range(chance.randrange(9))]
    if chance.random() < 0.1:  # noqa: PLR2004
        fatal, mishap = _fatal(chance, servers[0])
        events.append(fatal)
        mishaps.append(mishap)
    if chance.random() < 0.15:  # noqa: PLR2004
        mishaps.append(Mishap(place="shell.server_health", nth=chance.randrange(1, 12), kind="empty"))
    if chance.random() < 0.1:  # noqa: PLR2004 - the subtlest: reported as not sent, and done a while later after all
        late = chance.choice(("shell.restart_service", "shell.set_activation", "shell.reboot"))
        mishaps.append(Mishap(place=late, nth=1, kind="held_up"))
    events += _others_at_work(random.Random(f"others of {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events += exchange_says(random.Random(f"exchange of {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events += windows_says(random.Random(f"windows says {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events += _windows(random.Random(f"windows of {seed}"), servers)  # noqa: S311 - of its own: the rest stays as it was
    pauses, losses = _pauses(random.Random(f"pauses of {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events, mishaps = [*events, *pauses], [*mishaps, *losses]
    observed = frozenset({_name(chance.choice(servers))}) if chance.random() < 0.05 else frozenset()  # noqa: PLR2004
    asking, answers, luck = _asking(random.Random(f"asks {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events, mishaps = [*events, *answers], [*mishaps, *luck]
    burst, storms = _storm(random.Random(f"storm of {seed}"))  # noqa: S311 - reproducible on purpose
    events += burst
    common, shared_cause = _causes(random.Random(f"causes of {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events += common
    events += _hands_off(random.Random(f"hands off of {seed}"), servers)  # noqa: S311 - reproducible on purpose
    events += takers(random.Random(f"taken of {seed}"), events)  # noqa: S311 - reproducible on purpose
    mishaps += _own_errors(random.Random(f"own errors of {seed}"))  # noqa: S311 - reproducible on purpose
    return Story(
        seed=seed,
        events=tuple(sorted(events, key=lambda event: event.at)),
        mishaps=tuple({(each.place, each.nth): each for each in mishaps}.values()),
        observed=observed,
        asking=asking - observed,
        storms=storms,
        shared_cause=shared_cause,
    )


def _name(server: str) -> str:
    return f"{server}.contoso.lab"


def _monitors(server: str) -> tuple[tuple[str, str], ...]:
    if server.startswith("cas"):
        return (*_FRONT_END, _COUNTER)
    return (*_MAILBOX, *_FRONT_END) if server.startswith("multi") else (*_MAILBOX, _COUNTER)


def _sick(chance: random.Random, server: str) -> Iterator[Event]:
    """A server falls sick, and somebody says so: once, several times, or only after it is over."""
    at = chance.uniform(0, 1800)
    fault, options = chance.choice(_SICKNESS)
    health_set, monitor = chance.choice(_monitors(server))
    if monitor == _COUNTER[1]:
        options = (*options, ("monitor", monitor))
    elif chance.random() < 0.9:  # noqa: PLR2004 - else nothing is wrong, and the alert is mistaken
        options = (*options, ("service", _service(monitor)))
    if chance.random() < 0.85:  # noqa: PLR2004 - else nobody can say why there is an alert
        yield Break(at=at, server=_name(server), fault=fault, options=options)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        copies = chance.choice((1, 1, 1, 2, 3))
        yield _alert(chance, at + chance.uniform(0, 400), server, health_set, monitor, copies=copies)
    if chance.random() < 0.15:  # noqa: PLR2004
        yield _alert(chance, at + chance.uniform(60, 6000), server, health_set, monitor, closed=True)
    if chance.random() < 0.15:  # noqa: PLR2004
        other_set, other = chance.choice(_monitors(server))
        yield _alert(chance, at + chance.uniform(0, 4000), server, other_set, other)
    if chance.random() < 0.1:  # noqa: PLR2004
        yield Cure(at=at + chance.uniform(60, 9000), server=_name(server), fault=fault)


def _service(monitor: str) -> str:
    return "MSExchangePOP3" if monitor in (name for _, name in _FRONT_END) else "MSExchangePOP3BE"


def _trouble(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """Something else is wrong, there or elsewhere, for a while."""
    fault, options = chance.choice(_TROUBLE)
    server = chance.choice(servers) if chance.random() < 0.7 else chance.choice(_SERVERS)  # noqa: PLR2004
    at = chance.uniform(0, 5400)
    yield Break(at=at, server=_name(server), fault=fault, options=options)
    if chance.random() < 0.5:  # noqa: PLR2004
        yield Cure(at=at + chance.uniform(300, 9000), server=_name(server), fault=fault)


def _bad_luck(chance: random.Random) -> Event:
    """An outage, a step of the clock, a kill, or an operator."""
    at = chance.uniform(0, _NIGHT)
    match chance.randrange(5):
        case 0:
            aways: tuple[Away, ...] = ("bus", "journal", "notifier")
            return Outage(at=at, of=chance.choice(aways), seconds=chance.uniform(5, 3600))
        case 1:
            return ClockStep(at=at, seconds=chance.choice((-3600.0, 3600.0, -90.0, 400.0)))
        case 2 | 3:
            return Kill(at=chance.uniform(0, 5400), gently=chance.random() < 0.3)  # noqa: PLR2004
        case _:
            commands: tuple[Command, ...] = ("pause", "pause", "resume", "release", "close", "undo")
            return Order(at=chance.uniform(0, 5400), command=chance.choice(commands), about=chance.randrange(4))


def _others_at_work(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """Somebody is logged on to a sick server, or an update waits for its reboot, for a while or for good."""
    for fault in (Fault.LOGGED_ON, Fault.REBOOT_PENDING):
        if chance.random() < 0.08:  # noqa: PLR2004
            server, at = _name(chance.choice(servers)), chance.uniform(0, 3600)
            yield Break(at=at, server=server, fault=fault)
            if chance.random() < 0.7:  # noqa: PLR2004 - else somebody has forgotten to log off
                yield Cure(at=at + chance.uniform(300, 7200), server=server, fault=fault)


def _hands_off(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """The monitors of a sick server are said to be in repair, or switched off, from the beginning and for good."""
    if chance.random() < 0.06:  # noqa: PLR2004
        value = chance.choice(("Repairing", "Disabled"))
        yield Break(at=0.0, server=_name(chance.choice(servers)), fault=Fault.MONITOR_SAYS, options=(("value", value),))


def _windows(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """Somebody works on a server, or there is a freeze; some end early."""
    if chance.random() >= 0.15:  # noqa: PLR2004
        return
    for _ in range(chance.choice((1, 1, 2))):
        at, everywhere = chance.uniform(0, 5400), chance.random() < 0.2  # noqa: PLR2004
        server = "" if everywhere else _name(chance.choice(servers))
        yield Order(at=at, command="add_window", about=chance.randrange(30), server=server)
        if chance.random() < 0.3:  # noqa: PLR2004
            yield Order(at=at + chance.uniform(60, 5400), command="end_window", about=chance.randrange(4))


def _fatal(chance: random.Random, server: str) -> tuple[Event, Mishap]:
    """An effect whose answer is lost, on a server that nobody can ask afterwards."""
    fault = chance.choice((Fault.NEVER_BACK, Fault.SERVICE_HANGS))
    place = "shell.reboot" if fault is Fault.NEVER_BACK else "shell.restart_service"
    mishap = Mishap(place=place, nth=1, kind=chance.choice(("lost", "late", "garbage", "dies when sent")))
    return Break(at=chance.uniform(0, 600), server=_name(server), fault=fault), mishap


def _asking(chance: random.Random, servers: list[str]) -> tuple[frozenset[str], list[Event], list[Mishap]]:
    """A server on which it must ask first, and operators who answer: early, late, twice, or something else."""
    if chance.random() > 0.25:  # noqa: PLR2004
        return frozenset(), [], []
    events: list[Event] = [
        Order(
            at=chance.uniform(300, _NIGHT),
            command="decline" if chance.random() < 0.05 else "approve",  # noqa: PLR2004
            about=chance.randrange(4),
            first=chance.random() < 0.3,  # noqa: PLR2004
        )
        for _ in range(chance.choice((2, 6, 16, 30)))
    ]
    if chance.random() < 0.3:  # noqa: PLR2004 - approved while paused, and resumed when that has expired
        at = chance.uniform(600, 4000)
        late = Order(at=at + chance.uniform(600, 3000), command="resume")
        events += [Order(at=at, command="pause"), Order(at=at + 60, command="approve"), late]
    kinds = ("unreachable", "unreachable", "vanished", "held_up", "dies when sent")
    mishaps = [
        Mishap(place=effect, nth=nth, kind=chance.choice(kinds))
        for effect in ("shell.restart_service", "shell.set_activation", "shell.reboot")
        for nth in (1, 2, 3)
        if chance.random() < 0.4  # noqa: PLR2004 - what was approved is not done, and must be approved again
    ]
    return frozenset({_name(chance.choice(servers))}), events, mishaps


def _own_errors(chance: random.Random) -> Iterator[Mishap]:
    """Scripts of ours fail by themselves: the first effects above all, so that the ladder can go on afterwards."""
    if chance.random() > 0.2:  # noqa: PLR2004
        return
    for nth in (1, 2, 3):
        for script in ("restart_service", "set_activation", "reboot", "invoke_probe"):
            if chance.random() < 0.3:  # noqa: PLR2004
                yield Mishap(place=f"shell.{script}", nth=nth, kind=chance.choice(OWN_ERRORS))


def _pauses(chance: random.Random, servers: list[str]) -> tuple[list[Event], list[Mishap]]:
    """Somebody pauses a server or a DAG, by command or over the bus, and resumes it or forgets to."""
    if chance.random() > 0.2:  # noqa: PLR2004
        return [], []
    scope = chance.choice((*[_name(each) for each in servers], "dag:DAG1", "dag:dag2"))
    at, luck = chance.uniform(60, 4000), []
    paused: Event = Order(at=at, command="pause", server=scope)
    if chance.random() < 0.5:  # noqa: PLR2004
        name, _, of = scope.partition(":")
        wanted = json.dumps({"dag": of} if of else {"server": name}).encode()
        payload = chance.choice((wanted, wanted, b"", b"{", b'{"resume": true}'))
        scope = scope if payload == wanted else ""
        copies = chance.choice((1, 1, 2))
        paused = Publish(at=at, topic="exmedic/control/pause/ada", payload=payload, copies=copies)
        kinds = ("fails before", "fails after", "dies before", "dies after")
        luck = [Mishap(place="bus.ack_pause", nth=1, kind=chance.choice(kinds))] if chance.random() < 0.5 else []  # noqa: PLR2004
    if chance.random() < 0.8:  # noqa: PLR2004
        return [paused, Order(at=at + chance.uniform(60, 6000), command="resume", server=scope)], luck
    return [paused], luck


def _storm(chance: random.Random) -> tuple[list[Event], Storms]:
    """Alerts of many monitors within seconds, often more than the caps allow, and now and then a death amid them."""
    if chance.random() > 0.1:  # noqa: PLR2004
        return [], Storms()
    at, server = chance.uniform(0, 5400), chance.choice(_SERVERS)
    keys = [(each, *chance.choice(_monitors(each))) for each in _SERVERS]
    if chance.random() < 0.5:  # noqa: PLR2004 - else everywhere at once; monitors without a runbook escalate at once
        keys = [(server, *each) for each in (*_monitors(server), *(("OWA", f"Owa{n}Monitor") for n in range(12)))]
    events: list[Event] = [_alert(chance, at + chance.uniform(0, 20), *key) for key in keys]
    if chance.random() < 0.5:  # noqa: PLR2004 - so many of one monitor that not each of them is on record
        many = chance.choice((12, 25, 120))
        closed = chance.randrange(2 * many)
        events += [_alert(chance, at + 20, *keys[0], closed=nth == closed) for nth in range(many)]
    if chance.random() < 0.4:  # noqa: PLR2004
        events.append(Kill(at=at + chance.uniform(5, 40)))
    if chance.random() < 0.3:  # noqa: PLR2004
        return events, Storms()
    return events, Storms(fleet=chance.choice((2, 4, 8)), site=chance.choice((2, 4, 8)), dag=chance.choice((1, 3, 5)))


def _causes(chance: random.Random, servers: list[str]) -> tuple[list[Event], SharedCause]:
    """One monitor ails on several servers within minutes, or something that it depends on does; some get well again."""
    if chance.random() > 0.18:  # noqa: PLR2004
        return [], EACH_FOR_ITSELF
    events: list[Event] = [
        Order(at=chance.uniform(300, _NIGHT), command="release", about=chance.randrange(4))
        for _ in range(chance.choice((0, 0, 1, 2)))
    ]
    at = chance.uniform(0, 2400)
    if chance.random() < 0.5:  # noqa: PLR2004
        server = chance.choice(servers)
        health_set = chance.choice(("AD", "Network") if server.startswith("cas") else ("AD", "Store", "DataProtection"))
        options = (("health_set", health_set),)
        events.append(Break(at=at, server=_name(server), fault=Fault.DEPENDENCY_SICK, options=options))
        if chance.random() < 0.6:  # noqa: PLR2004
            events.append(Cure(at=at + chance.uniform(600, 9000), server=_name(server), fault=Fault.DEPENDENCY_SICK))
        return events, EACH_FOR_ITSELF
    (health_set, monitor), (_, other) = chance.sample(_MAILBOX, 2)
    for server in chance.sample(_SERVERS[:6], chance.choice((2, 3, 3, 3, 4, 4))):
        fault, more = chance.choice(_SICKNESS[:5])  # what heals by itself holds nobody for long
        begins = at + chance.uniform(0, 900)
        events.append(Break(at=begins, server=_name(server), fault=fault, options=(*more, ("monitor", monitor))))
        events.append(_alert(chance, begins + chance.uniform(0, 120), server, health_set, monitor))
        if chance.random() < 0.5:  # noqa: PLR2004 - its neighbour, when the page is old
            later = begins + chance.uniform(1800, 7200)
            options = (("monitor", other),)
            events.append(Break(at=later, server=_name(server), fault=Fault.INCURABLE, options=options))
            events.append(_alert(chance, later, server, health_set, other))
    # Verifying takes three minutes anyway, so that a shorter settling time shows nothing.
    return events, SharedCause(settling=chance.choice((180.0, 900.0)))


def _noise(chance: random.Random) -> Iterator[Event]:
    """What else is on a bus: servers nobody knows, payloads nobody understands."""
    if chance.random() < 0.2:  # noqa: PLR2004
        yield _alert(chance, chance.uniform(0, 3600), "stranger", "POP.Protocol", "PopDeepTestMonitor")
    if chance.random() < 0.2:  # noqa: PLR2004
        payload = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 40)))
        yield Publish(at=chance.uniform(0, 3600), topic="alerts/exmedic/noise", payload=payload)
    if chance.random() < 0.1:  # noqa: PLR2004
        yield _alert(chance, chance.uniform(0, 3600), chance.choice(_SERVERS), "OWA", "OwaDeepTestMonitor")


def _alert(
    chance: random.Random,
    at: float,
    server: str,
    health_set: str,
    monitor: str,
    *,
    copies: int = 1,
    closed: bool = False,
) -> Publish:
    body = {
        "id": f"{chance.getrandbits(64):016x}",
        "server": _name(server) if chance.random() < 0.7 else server.upper(),  # noqa: PLR2004
        "health_set": health_set,
        "monitor": None if monitor in _NAMELESS and chance.random() < 0.1 else monitor,  # noqa: PLR2004
        "raised_at": "2026-11-02T00:59:00Z",
        "summary": f"it hurts {CANARY}",
        "closed": closed,
    }
    return Publish(at=at, topic="alerts/exmedic/scom", payload=json.dumps(body).encode(), copies=copies)


def _mishap(chance: random.Random) -> Mishap:
    weights = [weight for weight, _, _, _ in MISHAPS]
    ((_, places, most, kinds),) = chance.choices(MISHAPS, weights)
    # The first uses are the likeliest to be reached.
    nth = 1 + min(chance.randrange(most), chance.randrange(most))
    return Mishap(place=chance.choice(places), nth=nth, kind=chance.choice(kinds))
