"""What exmedic needs of a server, judged from an examination: access, rights, roles, clock, services."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from daemon.doctor.examination import BACK_END, FRONT_END, Asked, Examination
from daemon.domain.inventory import Role
from daemon.domain.ports import LOGON
from daemon.exchange.answers import ExchangeServer, ServiceState
from daemon.exchange.opening import OPENING
from daemon.remediation.actions.preconditions.server import roles_of
from daemon.remediation.actions.reboot import CORE_SERVICES, MAILBOX_SERVICES

OLDEST_POWERSHELL = 3  #: that came with Windows Server 2012; the scripts use nothing newer

#: Kerberos refuses a logon when the clocks differ by more (Microsoft, "Maximum tolerance for computer clock
#: synchronization"). exmedic itself compares no time of one server with that of another.
CLOCK_TOLERANCE = timedelta(minutes=5)

#: The cmdlets that only read, a script that sends each, and on which servers alone it must be sent: those with the POP
#: front end, Mailbox servers, members of a DAG. A test holds this to the scripts.
CMDLETS: Mapping[str, tuple[str, str]] = {
    "Get-ExchangeServer": ("exchange_server", ""),
    "Get-ServerComponentState": ("exchange_server", ""),
    "Get-ServerHealth": ("server_health", ""),
    "Invoke-MonitoringProbe": ("invoke_probe", ""),
    "Get-PopSettings": ("pop_settings", "front"),
    "Get-ExchangeCertificate": ("pop_settings", "front"),
    "Get-MailboxServer": ("database_copies", "mailbox"),
    "Get-MailboxDatabase": ("database_copies", "mailbox"),
    "Get-MailboxDatabaseCopyStatus": ("database_copies", "mailbox"),
    "Get-DatabaseAvailabilityGroup": ("dag_health", "dag"),
    "Test-ReplicationHealth": ("dag_health", "dag"),
}
#: What Windows must allow on the server itself, by the script that needs it.
WINDOWS: Mapping[str, tuple[str, str]] = {
    "server_state": (
        "read services, processes, logons, pending reboots and the System log",
        "Remote Enable on root\\cimv2, and Event Log Readers",
    ),
    "recovery_log": (
        "read what Managed Availability did",
        "Event Log Readers, for Microsoft-Exchange-ManagedAvailability/RecoveryActionResults and RecoveryActionLogs",
    ),
    "step_running": (
        "see the command lines of PowerShell processes",
        "a local administrator; without it a lost effect can never be settled, only quarantined",
    ),
    "protocol_log": ("read the POP protocol log", "read rights on the folder that Get-PopSettings names"),
}


class Holds(StrEnum):
    """Whether something is so."""

    YES = "holds"
    NO = "does not hold"
    OPEN = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report. `needed`: exmedic cannot work rightly without it."""

    topic: str
    name: str
    holds: Holds
    seen: str
    advice: str = ""  #: what to do when it does not hold
    source: str = ""  #: of a fact
    needed: bool = True

    @property
    def missing(self) -> bool:
        """Whether this makes the server unfit. What is only a fact does so when it provably does not hold."""
        if not self.needed:
            return False
        return self.holds is Holds.NO or (self.holds is Holds.OPEN and self.topic != "facts")


def needs(seen: Examination) -> Iterator[Finding]:
    """Everything that is needed, in the order in which one puts it right."""
    yield from _access(seen)
    yield from _cmdlets(seen)
    yield from _windows(seen)
    yield from _roles(seen)
    yield _clock(seen)
    yield _powershell(seen)
    yield from _services(seen)


def pace(seen: Examination, facts_age: float, slow_facts_age: float) -> Finding:
    """Whether what is asked before a move or a reboot is read before it is too old, in seconds of the two settings.

    As `daemon.remediation.actions.facts` asks: first the peer, then what is slow, side by side, then what is dangerous.
    Above half of the time it is called near: a busy night is slower, and a peer that does not answer costs its own
    time.
    """
    quick: list[Asked[Any]] = [seen.exchange, seen.state, *([seen.copies] if seen.mailbox else [])]
    slow: list[Asked[Any]] = [seen.recovery, *([seen.dag] if seen.mailbox else [seen.health])]
    name = "facts read in time"
    unread = next((asked for asked in (*quick, *slow) if not asked.ran), None)
    if unread is not None:
        return _finding("server", name, None, unread.why, "")
    last = max(asked.took for asked in quick)
    spans = {"facts_age": (last, facts_age), "slow_facts_age": (_longest(slow) + last, slow_facts_age)}
    near = {setting: 2 * took for setting, (took, age) in spans.items() if 2 * took > age}
    each = ", ".join(f"{asked.script} {asked.took:.1f} s" for asked in (*quick, *slow))
    told = " and ".join(f"{took:.1f} s of timing.{setting}, {age:g} s" for setting, (took, age) in spans.items())
    todo = " and ".join(f"{setting} to {math.ceil(wanted)}" for setting, wanted in near.items())
    advice = f"set {todo} in [timing]: past it nothing is done, only asked again"
    found = _finding("server", name, not near, f"{told}, before a move or a reboot: {each}", advice)
    return replace(found, needed=any(took > age for took, age in spans.values()))


def _longest(asked: list[Asked[Any]]) -> float:
    return max(each.took for each in asked)


def short(name: str) -> str:
    """A server's name without its domain."""
    return name.partition(".")[0]


def _finding(topic: str, name: str, holds: bool | None, seen: str, advice: str = "") -> Finding:
    judged = Holds.OPEN if holds is None else Holds.YES if holds else Holds.NO
    return Finding(topic=topic, name=name, holds=judged, seen=seen, advice="" if holds else advice)


def _access(seen: Examination) -> Iterator[Finding]:
    server, state = seen.server, seen.state
    yield _finding(
        "access",
        "reachable",
        not seen.silence,
        seen.silence or f"{server.endpoint} takes connections",
        f"check endpoint of {server.name} in the inventory, the firewall, and `winrm enumerate winrm/config/listener`",
    )
    yield _finding(
        "access",
        "logon and WinRM",
        None if seen.silence else state.ran,
        state.why if not state.ran else f"a script ran with [credentials.{server.credential}]",
        f"check [credentials.{server.credential}] (transport, user name, password), and that the account may open a "
        "remote shell: Remote Management Users",
    )
    yield _hop(seen.hop, server.name)
    if seen.exchange.executor:
        yield _hop(seen.exchange, seen.exchange.executor)


def _hop(asked: Asked[ExchangeServer], executor: str) -> Finding:
    """Whether `executor` lets a script log on once more, to Exchange."""
    name = f"second hop from {short(executor)}"
    refused = asked.error in ("second_hop", LOGON) or (asked.error == "denied" and OPENING in asked.why)
    if asked.error == "no_session":
        advice = (
            f"look whether Exchange's PowerShell works on {executor}: MSExchangeADTopology, the web site, its quota"
        )
        return _finding("access", name, False, asked.why, advice)
    if asked.error == "broken":  # an error of the script's own tells nothing about the way there
        return _finding(
            "access", name, None, asked.why, "look at the error: it is the script's own, so please report it"
        )
    if refused or not asked.ran:
        advice = 'use second_hop = "credential" with NTLM, or CredSSP, or Kerberos delegation'
        if asked.error == LOGON:
            advice = (
                f"correct the password of {executor}'s credential: a domain takes an old one for a while, Exchange not"
            )
        return _finding("access", name, False if refused else None, asked.why, advice)
    return _finding("access", name, True, "a script opened the Microsoft.Exchange session")


def _powershell(seen: Examination) -> Finding:
    """Whether the PowerShell there is one that the scripts are meant for. Nobody is unfit for not saying."""
    said, name = seen.state.powershell, "PowerShell"
    if not re.match(r"\d+\.\d+", said):
        found = _finding("server", name, None, said or seen.state.why or "the answer does not say which version")
        return replace(found, needed=False)
    advice = "install Windows Management Framework 3.0 or later, as the Exchange version allows"
    return _finding("server", name, int(said.partition(".")[0]) >= OLDEST_POWERSHELL, f"version {said}", advice)


def _cmdlets(seen: Examination) -> Iterator[Finding]:
    asked: dict[str, list[Asked[Any]]] = {}
    about = (seen.exchange, seen.hop, seen.health, seen.settings, seen.copies, seen.dag)
    calls: list[Asked[Any]] = [*about, *seen.probes.values()]
    for one in calls:
        asked.setdefault(one.script, []).append(one)
    wanted = {"": True, "front": seen.front_end, "mailbox": seen.mailbox, "dag": seen.server.dag is not None}
    for cmdlet, (script, only) in CMDLETS.items():
        if wanted[only]:
            found = _cmdlet(cmdlet, script, asked.get(script, []), seen)
            # Without it nobody says why the probe fails, and that is all.
            yield replace(found, needed=found.needed and cmdlet != "Get-ExchangeCertificate")


def _cmdlet(cmdlet: str, script: str, asked: list[Asked[Any]], seen: Examination) -> Finding:
    advice = "have the account's role group granted it; docs/exchange-permissions.md names the roles"
    if any(one.error == "denied" and f" {cmdlet}: " in f" {one.why}" for one in asked):
        why = next(one.why for one in asked if one.error == "denied")
        return _finding("rights", cmdlet, False, why, advice)
    if any(one.answer is not None for one in asked) and _sent(cmdlet, seen):
        executor = next(one.executor for one in asked if one.answer is not None)
        return _finding("rights", cmdlet, True, f"{script} answered on {short(executor)}")
    why = next((one.why for one in asked if one.why), f"{script} had no cause to send it")
    return _finding("rights", cmdlet, None, why, advice)


def _sent(cmdlet: str, seen: Examination) -> bool:
    """Whether an answer proves that the cmdlet was sent: on some servers a script has no cause to send it."""
    copies, dag = seen.copies.answer, seen.dag.answer
    if cmdlet in ("Get-MailboxServer", "Get-MailboxDatabase"):
        return copies is not None and copies.mailbox_role
    if cmdlet == "Get-MailboxDatabaseCopyStatus":
        return copies is not None and copies.databases > 0
    if cmdlet == "Get-ExchangeCertificate":
        return seen.settings.answer is not None and seen.settings.answer.certificate is not None
    if cmdlet in ("Get-DatabaseAvailabilityGroup", "Test-ReplicationHealth"):
        return dag is not None and dag.dag is not None
    return True


def _windows(seen: Examination) -> Iterator[Finding]:
    for asked in (seen.state, seen.recovery, seen.running, seen.log):
        name, advice = WINDOWS[asked.script]
        if asked is seen.log and seen.settings.answer is None:
            continue  # no front end, or it is not known where its log is, which has a line of its own
        holds = asked.answer is not None if asked.ran else None
        if asked is seen.log and asked.error == "not_found":
            holds = None  # nothing has been logged yet, so there is no folder
        yield _finding("rights", name, holds, asked.why or f"{asked.script} answered", advice)


def _roles(seen: Examination) -> Iterator[Finding]:
    server, exchange = seen.server, seen.exchange.answer
    if exchange is None:
        yield _finding("server", "roles as in the inventory", None, seen.exchange.why)
    else:
        # From 2016 on the Mailbox role contains client access; both sides go through the same rule.
        told = {"mailbox_role": Role.MAILBOX in server.roles, "client_access_role": Role.CLIENT_ACCESS in server.roles}
        listed, found = roles_of(exchange.model_copy(update=told)), roles_of(exchange)
        answer = f"the server answers {' and '.join(sorted(found)) or 'neither role'}, {exchange.version}"
        advice = f"correct roles of {server.name} in the inventory; until then every effect is refused there"
        yield _finding("server", "roles as in the inventory", listed == found, answer, advice)
        held, advice = exchange.site.lower() == server.site.lower(), f"correct site of {server.name} in the inventory"
        yield _finding(
            "server", "site as in the inventory", held, f"Exchange has it in {exchange.site or 'none'}", advice
        )
    if seen.mailbox:
        dag = seen.dag.answer
        holds = None if dag is None else (dag.dag or "").lower() == (server.dag or "").lower()
        answer = seen.dag.why if dag is None else f"Exchange has it in {dag.dag or 'no DAG'}"
        yield _finding("server", "DAG as in the inventory", holds, answer, "correct dag in the inventory")


def _clock(seen: Examination) -> Finding:
    state = seen.state
    if state.clock is None or state.sent_at is None or state.heard_at is None:
        return _finding("server", "clock", None, state.why or "the answer has no time")
    # The server read its clock at some moment between the two; only what lies outside is a difference for certain.
    ahead = max(timedelta(0), state.clock - state.heard_at)
    behind = max(timedelta(0), state.sent_at - state.clock)
    off = max(ahead, behind)
    took = (state.heard_at - state.sent_at).total_seconds()
    way = "ahead of" if ahead else "behind"
    told = f"{off.total_seconds():.0f} s {way} this machine's" if off else "agrees with this machine's"
    text = f"{told} (known to {took:.0f} s, the time that the call took)"
    return _finding("server", "clock", off <= CLOCK_TOLERANCE, text, "compare `w32tm /query /status` on both")


def _services(seen: Examination) -> Iterator[Finding]:
    state = seen.state.answer
    pop = [name for name, here in ((BACK_END, seen.mailbox), (FRONT_END, seen.front_end)) if here]
    for name in (*CORE_SERVICES, *(MAILBOX_SERVICES if seen.mailbox else ()), *pop):
        if state is None:
            yield _finding("server", name, None, seen.state.why)
            continue
        found = next((one for one in state.services if one.name.lower() == name.lower()), None)
        yield _service(name, found, must_be_automatic=name in pop)


def _service(name: str, found: ServiceState | None, *, must_be_automatic: bool) -> Finding:
    if found is None:
        return _finding("server", name, False, "there is no such service", "check the server's roles in the inventory")
    text = f"{found.status}, {found.start_type}"
    if must_be_automatic and found.start_type.lower() != "automatic":
        advice = "nobody meant it to run, so exmedic escalates; if POP is offered: Set-Service -StartupType Automatic"
        return _finding("server", name, False, text, advice)
    return _finding("server", name, found.status.lower() == "running", text, f"find out why {name} does not run")
