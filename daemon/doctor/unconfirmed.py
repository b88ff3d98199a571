"""How each unconfirmed fact is judged from an examination; `daemon.doctor.report` has the table of them.

A fact of which an examination shows nothing cannot be told; that is no fault of the server.
"""

import re
from collections.abc import Callable

from daemon.doctor.examination import Examination
from daemon.doctor.needs import Holds
from daemon.domain.inventory import Inventory, Role
from daemon.exchange.editions import SUPPORT_ENDED, edition
from daemon.remediation.actions.backends import TELLING, names
from daemon.remediation.actions.preconditions.dependencies import standing
from daemon.remediation.actions.preconditions.facts import Dependency
from daemon.remediation.actions.preconditions.server import COMPONENT_STATES, component

#: Microsoft, Get-ServerHealth reference: the values of AlertValue.
ALERT_VALUES = frozenset(
    {"healthy", "degraded", "unhealthy", "repairing", "disabled", "unavailable", "uninitialized", "unknown"}
)
#: Microsoft, Exchange Management Shell, ProbeResult: the values of ResultType.
RESULT_TYPES = frozenset({"timeout", "poisoned", "succeeded", "failed", "quarantined", "rejected"})
#: Microsoft, Get-MailboxDatabaseCopyStatus reference: the values of Status.
COPY_STATES = frozenset(
    {
        "mounted",
        "mounting",
        "dismounting",
        "dismounted",
        "healthy",
        "failed",
        "failedandsuspended",
        "suspended",
        "seeding",
        "seedingsource",
        "initializing",
        "resynchronizing",
        "disconnectedandhealthy",
        "disconnectedandresynchronizing",
        "servicedown",
        "singlepagerestore",
        "unknown",
        "misconfigured",
        "nonexchangereplication",
    }
)
#: On which servers the page says that each monitor's alert is usually raised; the others may have it or not.
USUALLY_ON = {
    "popctpmonitor": Role.CLIENT_ACCESS,
    "popproxytestmonitor": Role.CLIENT_ACCESS,
    "popdeeptestmonitor": Role.MAILBOX,
    "popselftestmonitor": Role.MAILBOX,
}

Judged = tuple[Holds, str]
Judge = Callable[[Examination], Judged]


def _judged(answer: object | None, why: str, wrong: list[str], right: str) -> Judged:
    """Cannot tell without an answer; else whether anything is wrong."""
    if answer is None:
        return Holds.OPEN, why
    return (Holds.NO, ", ".join(dict.fromkeys(wrong))) if wrong else (Holds.YES, right)


def tells_of(about: Dependency) -> Judge:
    """Get-ServerHealth shows monitors of that health set that say how it is."""

    def judge(seen: Examination) -> Judged:
        asked = seen.dependencies[about]
        if asked.answer is None:
            return Holds.OPEN, asked.why
        healthy, shown = standing(asked.answer, about, seen.server.name)
        return (Holds.NO if healthy is None else Holds.YES), shown

    return judge


def log_names_servers(inventory: Inventory) -> Judge:
    """The rows of the probes' sessions name a server of the inventory."""

    def judge(seen: Examination) -> Judged:
        log = seen.log.answer
        if log is None or not log.rows:
            return Holds.OPEN, seen.log.why or "no session of a probe was logged in the last hour"
        named = names(log, inventory)
        if named.unclear or not named.servers:
            return Holds.NO, named.unclear or f"no server of the inventory is named in {len(log.rows)} rows"
        return Holds.YES, f"it names {', '.join(named.servers)}"

    return judge


def monitors(seen: Examination) -> Judged:
    """Every monitor that the page expects on such a server is there, under the name of a runbook."""
    here = {(row.health_set.lower(), row.name.lower()) for row in seen.pop_rows}
    roles = set(seen.server.roles) | ({Role.CLIENT_ACCESS} if seen.front_end else set())
    wanted = [one for one in seen.handled if USUALLY_ON.get(one.monitor.lower()) in roles]
    absent = [
        f"no {one.monitor} in {one.health_set}"
        for one in wanted
        if (one.health_set.lower(), one.monitor.lower()) not in here
    ]
    handled = {(one.health_set.lower(), one.monitor.lower()) for one in seen.handled}
    others = sorted({row.name for row in seen.pop_rows if (row.health_set.lower(), row.name.lower()) not in handled})
    beside = f"; without a runbook, so that they only escalate: {', '.join(others)}" if others else ""
    return _judged(seen.health.answer, seen.health.why, absent, f"monitors: {len(here)}{beside}")


def probes_run(seen: Examination) -> Judged:
    """Each probe gives an object, not only a warning."""
    if not seen.probes:
        return Holds.OPEN, seen.health.why or "no monitor with a probe was found"
    wrong = [
        f"{name}: {asked.why or '; '.join(asked.answer.warnings if asked.answer else ()) or 'no object'}"
        for name, asked in seen.probes.items()
        if asked.answer is None or not asked.answer.objects
    ]
    unheard = all(asked.answer is None for asked in seen.probes.values())
    told = ", ".join(
        f"{name}: {'/'.join(result.result_type for result in asked.answer.objects)}"
        for name, asked in seen.probes.items()
        if asked.answer
    )
    return _judged(None if unheard else seen.probes, "; ".join(wrong), wrong, told)


def result_types(seen: Examination) -> Judged:
    """ResultType as Microsoft spells it."""
    results = [result for asked in seen.probes.values() if asked.answer for result in asked.answer.objects]
    wrong = [f"ResultType {one.result_type}" for one in results if one.result_type.lower() not in RESULT_TYPES]
    return _judged(results or None, "no probe gave a result", wrong, f"{len(results)} results")


def one_mailbox(seen: Examination) -> Judged:
    """One object for one run."""
    runs = {name: asked.answer.objects for name, asked in seen.probes.items() if asked.answer and asked.answer.objects}
    wrong = [f"{name} gave {len(objects)} objects" for name, objects in runs.items() if len(objects) > 1]
    return _judged(runs or None, "no probe gave a result", wrong, "each run gave one object")


def alert_values(seen: Examination) -> Judged:
    """AlertValue as Microsoft spells it."""
    wrong = [f"AlertValue {row.alert_value}" for row in seen.pop_rows if row.alert_value.lower() not in ALERT_VALUES]
    return _judged(seen.pop_rows or None, seen.health.why or "no row", wrong, f"{len(seen.pop_rows)} rows")


def components(seen: Examination) -> Judged:
    """The components that the gates ask for are there, in states that they know."""
    exchange = seen.exchange.answer
    if exchange is None:
        return Holds.OPEN, seen.exchange.why
    wanted = ["ServerWideOffline"]
    wanted += ["HubTransport"] if exchange.mailbox_role else []
    wanted += ["PopProxy"] if exchange.client_access_role else []
    wrong = [f"no component {name}" for name in wanted if component(exchange, name) is None]
    wrong += [f"{one.name} is {one.state}" for one in exchange.components if one.state.lower() not in COMPONENT_STATES]
    return _judged(exchange, "", wrong, ", ".join(wanted))


def requesters(seen: Examination) -> Judged:
    """LocalStates and RemoteStates come through the session with their parts."""
    exchange = seen.exchange.answer
    if exchange is None:
        return Holds.OPEN, seen.exchange.why
    requests = [(one.name, request) for one in exchange.components for request in one.requests]
    wrong = [f"{name}: {request.requester}" for name, request in requests if request.requester == "unreadable"]
    told = ", ".join(sorted({request.requester for _, request in requests}))
    return _judged(requests or None, "no component shows a requester", wrong, told)


def registry_requesters(seen: Examination) -> Judged:
    """The server's own registry tells who asks for a component's state, and that agrees with the state."""
    state, exchange = seen.state.answer, seen.exchange.answer
    if state is None or state.component_requests is None:
        return (Holds.NO, "the key cannot be read") if state else (Holds.OPEN, seen.state.why)
    told = {name.lower(): requests for name, requests in state.component_requests.items()}
    wrong = [
        f"{name}: the value of {request.requester}"
        for name, requests in state.component_requests.items()
        for request in requests
        if request.state == "unreadable"
    ]
    for one in exchange.components if exchange else ():
        asks = [request.state.lower() for request in told.get(one.name.lower(), ())]
        if asks and (one.state.lower() == "active") != all(each == "active" for each in asks):
            wrong.append(f"{one.name} is {one.state}, and its requesters say {', '.join(asks)}")
    return _judged(told or None, "no component has a requester there", wrong, f"{len(told)} components")


def replication_words(seen: Examination) -> Judged:
    """The Result of every replication check is Passed or a failure, in English."""
    checks = seen.dag.answer.replication if seen.dag.answer else ()
    wrong = [check.check for check in checks if not check.readable]
    return _judged(checks or None, seen.dag.why or "in no DAG", wrong, f"{len(checks)} checks")


def version(seen: Examination) -> Judged:
    """AdminDisplayVersion tells the edition."""
    exchange = seen.exchange.answer
    version = exchange.version if exchange else ""
    found = edition(version)
    return _judged(exchange, seen.exchange.why, [] if found else [version or "empty"], f"{found}, {version}")


def supported(seen: Examination) -> Judged:
    """Microsoft still supports this edition."""
    exchange = seen.exchange.answer
    found = edition(exchange.version) if exchange else None
    ended = found and SUPPORT_ENDED.get(found)
    wrong = [f"{found}: support ended {ended}"] if ended else []
    return _judged(found, seen.exchange.why or "no edition can be told", wrong, str(found))


def short_names(seen: Examination) -> Judged:
    """Copies are told with the short name of their server."""
    copies = seen.copies.answer.copies if seen.copies.answer else ()
    wrong = [copy.server for copy in copies if "." in copy.server]
    return _judged(copies or None, seen.copies.why or "no copy", wrong, f"such as {copies[0].server}" if copies else "")


def copy_states(seen: Examination) -> Judged:
    """Status as Microsoft spells it."""
    copies = seen.copies.answer.copies if seen.copies.answer else ()
    wrong = [f"Status {copy.status}" for copy in copies if copy.status.lower() not in COPY_STATES]
    told = ", ".join(sorted({copy.status for copy in copies}))
    return _judged(copies or None, seen.copies.why or "no copy", wrong, told)


def lag_text(seen: Examination) -> Judged:
    """Not every copy reads as lagged, as one does whose ReplayLagStatus is not understood."""
    copies = seen.copies.answer.copies if seen.copies.answer else ()
    lagged = [copy for copy in copies if copy.lagged]
    if copies and len(lagged) == len(copies):
        return Holds.NO, f"all {len(copies)} copies read as lagged, which is also how an unreadable text reads"
    return _judged(copies or None, seen.copies.why or "no copy", [], f"{len(lagged)} of {len(copies)} copies lagged")


def nodes(seen: Examination) -> Judged:
    """The cluster tells the state of each member."""
    dag = seen.dag.answer
    members = dag.members if dag else ()
    wrong = [f"no state of {member.server}" for member in members if not member.node_state]
    told = ", ".join(f"{member.server} {member.node_state}" for member in members)
    return _judged(members or None, seen.dag.why or "in no DAG", wrong, told)


def recovery(seen: Examination) -> Judged:
    """The log of Managed Availability's recovery actions can be read."""
    log = seen.recovery.answer
    if log is None and seen.recovery.ran:
        return Holds.NO, seen.recovery.why
    return _judged(log, seen.recovery.why, [], f"{len(log.actions)} actions in 12 hours" if log else "")


def recovery_ends(seen: Examination) -> Judged:
    """A recovery action without an end says by when it was expected to end."""
    begun = [one for one in (seen.recovery.answer.actions if seen.recovery.answer else ()) if one.ended is None]
    wrong = [f"{one.action} of {one.started:%Y-%m-%d %H:%M}" for one in begun if one.expected_end is None]
    return _judged(begun or None, seen.recovery.why or "none without an end", wrong, f"{len(begun)} of them")


def restart_event(seen: Examination) -> Judged:
    """There is an event of a requested restart, with its comment."""
    state = seen.state.answer
    if state is not None and not state.restarts_readable:
        return Holds.NO, "the System log cannot be read"
    if state is None or state.restart_requested_at is None:
        return Holds.OPEN, seen.state.why or "no restart was requested since it booted"
    at = f"event 1074 at {state.restart_requested_at:%Y-%m-%d %H:%M}"
    return (Holds.NO if state.restart_comment is None else Holds.YES), f"{at}, comment: {state.restart_comment!r}"


def logons(seen: Examination) -> Judged:
    """Who is logged on can be read."""
    state = seen.state.answer
    if state is None:
        return Holds.OPEN, seen.state.why
    return (Holds.NO, "not to be read") if state.logons is None else (Holds.YES, f"{state.logons.count} people")


def probe_reason(seen: Examination) -> Judged:
    """A failing probe says in a word what failed."""
    results = [result for asked in seen.probes.values() if asked.answer for result in asked.answer.objects]
    failed = [one for one in results if one.result_type.lower() == "failed"]
    wrong = [f"{one.monitor_identity} says nothing" for one in failed if not one.reason]
    return _judged(failed or None, "no probe fails", wrong, ", ".join(one.reason for one in failed))


def certificate(seen: Examination) -> Judged:
    """The certificate that the POP settings name can be read, and is there."""
    settings = seen.settings.answer
    if settings is None or settings.certificate is None:
        return Holds.OPEN, seen.settings.why or "the settings name none, or Get-ExchangeCertificate is not granted"
    named = settings.certificate
    wrong = [] if named.found else [f"no certificate is made out to {named.name}"]
    return _judged(named, "", wrong, f"{named.name}, valid until {named.valid_until or 'nobody knows when'}")


def log_place(seen: Examination) -> Judged:
    """LogFileLocation is a local path of the form that the script takes."""
    settings = seen.settings.answer
    place = settings.log_location if settings else ""
    wrong = [] if re.fullmatch(r"[A-Za-z]:(\\[A-Za-z0-9][A-Za-z0-9 ._()-]*)+\\?", place) else [place or "empty"]
    return _judged(settings, seen.settings.why, wrong, place)


def log_columns(seen: Examination) -> Judged:
    """The columns that find the sessions of a probe, and what they were proxied to."""
    log = seen.log.answer
    if log is None and seen.log.ran and seen.log.error != "not_found":
        return Holds.NO, seen.log.why
    if log is None or not log.columns:
        return Holds.OPEN, seen.log.why or "there is no log file of the last hour"
    wanted, there = {"datetime", "sessionid", "user"}, {name.strip().lower() for name in log.columns}
    wrong = [f"no column {name}" for name in sorted(wanted - there)]
    wrong += [] if there & set(TELLING) else [f"no column {' or '.join(TELLING)}"]
    return _judged(log, "", wrong, f"{len(log.columns)} columns")


def stdin(seen: Examination) -> Judged:
    """A script that came on stdin has answered."""
    return (Holds.YES, "a script answered") if seen.state.ran else (Holds.OPEN, seen.state.why)
