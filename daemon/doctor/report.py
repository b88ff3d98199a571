"""The doctor: can exmedic work with a server, and do the facts that it was built on hold there?

No live Exchange server was at hand while exmedic was built, and no PowerShell runs on the machines it was built on.
`facts_of` lists what nobody has confirmed, each with its source. The doctor only reads; nothing here acts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.config.guardrails import Timing
from daemon.doctor import unconfirmed
from daemon.doctor.examination import Examination, Examiner
from daemon.doctor.needs import Finding, Holds, needs, pace
from daemon.doctor.unconfirmed import Judge
from daemon.domain.inventory import Inventory, Server
from daemon.domain.values import Json


@dataclass(frozen=True, slots=True)
class Fact:
    """Something exmedic was built on and that nobody has confirmed. `needed`: it works wrongly, or not, without it."""

    name: str
    source: str
    judge: Judge
    advice: str  #: when it does not hold
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of one server."""

    server: str
    findings: tuple[Finding, ...]
    silence: str = ""  #: why no connection can be made to it, so that nothing was asked

    @property
    def good(self) -> bool:
        """Whether nothing is missing."""
        return not any(finding.missing for finding in self.findings)

    @property
    def told(self) -> Json:
        """As JSON."""
        told = [
            {
                "topic": finding.topic,
                "name": finding.name,
                "verdict": finding.holds.value,
                "missing": finding.missing,
                "seen": finding.seen,
                "advice": finding.advice,
                "source": finding.source,
            }
            for finding in self.findings
        ]
        return {"server": self.server, "good": self.good, "findings": told}


async def diagnose(examiner: Examiner, server: Server, timing: Timing) -> Report:
    """Examine one server of the inventory, and judge what was seen."""
    seen = await examiner.examine(server)
    paced = pace(seen, timing.facts_age, timing.slow_facts_age)
    return Report(server.name, (*needs(seen), paced, *facts(seen, examiner.inventory)), seen.silence)


def facts(seen: Examination, inventory: Inventory) -> Iterator[Finding]:
    """Which of the facts hold on a server."""
    for fact in facts_of(seen, inventory):
        holds, text = fact.judge(seen)
        yield Finding(
            topic="facts",
            name=fact.name,
            holds=holds,
            seen=text,
            advice=fact.advice if holds is Holds.NO else "",
            source=fact.source,
            needed=fact.needed,
        )


def facts_of(seen: Examination, inventory: Inventory) -> Iterator[Fact]:
    """The facts that concern such a server."""
    for each in seen.dependencies:
        yield Fact(
            f"the health set {each.health_set} tells how {each.name} is",
            "the page, table of probes, Dependencies",
            unconfirmed.tells_of(each),
            'nothing disruptive will be done there; look for its name in Get-ServerHealth, and write it, or "", into '
            "[dependencies]",
        )
    yield from FACTS
    if seen.mailbox:
        yield from MAILBOX_FACTS
    if seen.front_end:
        yield from FRONT_END_FACTS
        yield Fact(
            "the protocol log names the server of a session",
            _LOGGING,
            unconfirmed.log_names_servers(inventory),
            "PopCTPMonitor's ladder will not find the Mailbox server; look at a log by hand",
        )


_PAGE = "the page, table of probes"
_LOGGING = "Microsoft, Protocol logging for POP3 and IMAP4"
_REFERENCE = "Microsoft, {} reference".format

#: What every server can show.
FACTS: tuple[Fact, ...] = (
    Fact(
        "the monitors are called as in the runbooks",
        _PAGE,
        unconfirmed.monitors,
        "an alert of another name escalates; write a site runbook for the names that there are",
    ),
    Fact(
        "the probes of the runbooks can be invoked",
        _REFERENCE("Invoke-MonitoringProbe"),
        unconfirmed.probes_run,
        "a probe that cannot run decides nothing: every incident of its monitor will escalate",
    ),
    Fact(
        "a probe's result is one of the known words",
        _REFERENCE("Invoke-MonitoringProbe"),
        unconfirmed.result_types,
        "an unknown word decides nothing: incidents will escalate",
    ),
    Fact(
        "a manual probe run tests one monitoring mailbox",
        "the page, step 2c",
        unconfirmed.one_mailbox,
        "harmless: one failed object is enough to fail, and a passing probe alone never clears a monitor",
        needed=False,
    ),
    Fact(
        "a monitor's AlertValue is one of the known words",
        _REFERENCE("Get-ServerHealth"),
        unconfirmed.alert_values,
        "whatever is not Healthy counts as not healthy: incidents will escalate",
    ),
    Fact(
        "the components are called as the gates know them",
        _REFERENCE("Get-ServerComponentState"),
        unconfirmed.components,
        "effects on this server will be held up until they escalate",
    ),
    Fact(
        "who requested a component's state can be read",
        _REFERENCE("Get-ServerComponentState"),
        unconfirmed.requesters,
        "an Inactive component is then never ours to wait for: incidents escalate",
        needed=False,
    ),
    Fact(
        "the registry tells who asks for a component's state",
        "Exchange Team Blog, Server Component States in Exchange 2013",
        unconfirmed.registry_requesters,
        "an Inactive component is then never ours to wait for: incidents escalate",
        needed=False,
    ),
    Fact(
        "who is logged on can be read",
        "Microsoft, Win32_LogonSession class",
        unconfirmed.logons,
        "moves and reboots of this server wait until they escalate; make the account a local administrator",
        needed=False,
    ),
    Fact(
        "a failing probe says in a word what failed",
        "Exchange Team Blog, Troubleshooting health sets",
        unconfirmed.probe_reason,
        "a probe that fails for its own mailbox's sake is then taken for a sick server",
        needed=False,
    ),
    Fact(
        "the version in AdminDisplayVersion tells the edition",
        _REFERENCE("Get-ExchangeServer"),
        unconfirmed.version,
        "list both roles in the inventory for a Mailbox server of Exchange 2016 or later",
    ),
    Fact(
        "Microsoft supports this edition",
        "Microsoft, Exchange Server build numbers and lifecycle pages",
        unconfirmed.supported,
        "exmedic goes on working; what Microsoft mends in its faults comes for the Subscription Edition only",
        needed=False,
    ),
    Fact(
        "RecoveryActionResults can be read",
        "Exchange Team Blog, What did Managed Availability just do to this service?",
        unconfirmed.recovery,
        "effects on this server will be held up until they escalate",
    ),
    Fact(
        "a recovery action that goes on says when it is expected to end",
        "Exchange Team Blog, What did Managed Availability just do to this service?",
        unconfirmed.recovery_ends,
        "one whose worker died counts as under way until the server boots",
        needed=False,
    ),
    Fact(
        "a requested restart is recorded as event 1074 of User32, with its comment",
        "Microsoft, Win32ShutdownTracker method",
        unconfirmed.restart_event,
        "a reboot is then proven by the boot time alone",
        needed=False,
    ),
    Fact(
        "powershell.exe hands its stdin to the script",
        "Microsoft, about_PowerShell_exe",
        unconfirmed.stdin,
        "no script can run",
    ),
)

#: What only Mailbox servers can show.
MAILBOX_FACTS: tuple[Fact, ...] = (
    Fact(
        "MailboxServer of a database copy is a short name",
        _REFERENCE("Get-MailboxDatabaseCopyStatus"),
        unconfirmed.short_names,
        "harmless: short and full names are compared alike",
        needed=False,
    ),
    Fact(
        "a copy's Status is one of the known words",
        _REFERENCE("Get-MailboxDatabaseCopyStatus"),
        unconfirmed.copy_states,
        "a copy in an unknown state blocks every move and reboot",
    ),
    Fact(
        "ReplayLagStatus can be read as text",
        _REFERENCE("Get-MailboxDatabaseCopyStatus"),
        unconfirmed.lag_text,
        "lagged copies are no place to move to: every move will be refused",
    ),
    Fact(
        "Test-ReplicationHealth answers in English",
        "Microsoft, New-PSSessionOption reference, Culture and UICulture",
        unconfirmed.replication_words,
        "moves and reboots are held up until they escalate",
    ),
    Fact(
        "the state of the cluster's nodes can be read",
        "Microsoft, MSCluster_Node class",
        unconfirmed.nodes,
        "install the failover clustering module, or grant root\\MSCluster; until then reboots are held up",
    ),
)

#: What only servers with the POP front end can show.
FRONT_END_FACTS: tuple[Fact, ...] = (
    Fact(
        "LogFileLocation is a local folder",
        _REFERENCE("Get-PopSettings"),
        unconfirmed.log_place,
        "PopCTPMonitor's ladder cannot read the protocol log there, and escalates",
    ),
    Fact(
        "the certificate of the POP settings is there",
        _REFERENCE("Get-PopSettings"),
        unconfirmed.certificate,
        "POP over TLS fails whatever is restarted: install it, or set X509CertificateName",
        needed=False,
    ),
    Fact(
        "the protocol log has the columns that are needed",
        _LOGGING,
        unconfirmed.log_columns,
        "PopCTPMonitor's ladder will not find the Mailbox server, and escalates",
    ),
)
