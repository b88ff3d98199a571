"""Each precondition with facts that meet it, that do not, and that do not decide: the rows of docs/preconditions.md."""

from dataclasses import dataclass
from datetime import timedelta

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse, Verdict
from daemon.remediation.actions.preconditions.copies import (
    activation_held,
    activation_open,
    copies_known,
    in_a_dag,
    no_seeding,
    nothing_active,
    refuges_exist,
)
from daemon.remediation.actions.preconditions.dag import (
    members_operational,
    node_not_paused,
    quorum_survives,
    replication_clean,
)
from daemon.remediation.actions.preconditions.dependencies import dependencies_healthy
from daemon.remediation.actions.preconditions.facts import Facts
from daemon.remediation.actions.preconditions.humans_at_work import no_reboot_pending, nobody_logged_on
from daemon.remediation.actions.preconditions.managed_availability import recovery_over, recovery_rested
from daemon.remediation.actions.preconditions.neighbours import another_serves, holds_no_copies
from daemon.remediation.actions.preconditions.other_actors import others_known
from daemon.remediation.actions.preconditions.server import (
    inventory_agrees,
    proxy_active,
    server_online,
    service_automatic,
    transport_active,
)
from daemon.remediation.actions.preconditions.table import BEFORE, Precondition
from daemon.remediation.actions.preconditions.why_it_fails import cause_on_the_server, certificate_valid
from tests.remediation.actions.preconditions.known import (
    client_access,
    copies,
    copy_changed,
    dag,
    exchange,
    logons,
    mailbox,
    member,
    member_changed,
    moved,
    needing,
    neighbour,
    pending,
    pop_health,
    pop_settings,
    recovery,
    settings_changed,
    state,
    windows,
    with_component,
    without_component,
)

CAS1 = exchange("CAS1", mailbox=False, cas=True)
Case = tuple[str, Facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One precondition: words for the reader, and facts for the code. `unclear` None: only when it cannot be read."""

    precondition: Precondition
    good: Case
    bad: tuple[Case, ...]
    unclear: Case | None = None


ROWS = (
    Row(
        precondition=inventory_agrees,
        good=("roles, DAG and site are those of the inventory", mailbox()),
        bad=(("they differ", mailbox(exchange=exchange(cas=True))),),
        unclear=("Exchange answers about another server", mailbox(exchange=exchange("MBX2"))),
    ),
    Row(
        precondition=server_online,
        good=("ServerWideOffline is Active", mailbox()),
        bad=(
            ("it is not", mailbox(exchange=with_component(exchange(), "ServerWideOffline", "Inactive", "Maintenance"))),
        ),
        unclear=(
            "it is not shown, or nobody is named who asked for it",
            mailbox(exchange=without_component(exchange(), "ServerWideOffline")),
        ),
    ),
    Row(
        precondition=transport_active,
        good=("HubTransport is Active, or the server is no Mailbox server", mailbox()),
        bad=(
            (
                "it is Draining or Inactive",
                mailbox(exchange=with_component(exchange(), "HubTransport", "Draining", "Maintenance")),
            ),
        ),
        unclear=(
            "it is not shown, or nobody is named who asked for it",
            mailbox(exchange=without_component(exchange(), "HubTransport")),
        ),
    ),
    Row(
        precondition=node_not_paused,
        good=("its cluster node is not Paused and the DAG does not list it as in maintenance", mailbox()),
        bad=(("it is", mailbox(dag=member_changed(0, node_state="Paused"))),),
        unclear=("the state of the node cannot be seen", mailbox(dag=member_changed(0, node_state=""))),
    ),
    Row(
        precondition=activation_open,
        good=("activation is not blocked, or by this incident, and the activation policy is not Blocked", mailbox()),
        bad=(("either is, and not by this incident", mailbox(copies=settings_changed(0, activation_blocked=True))),),
        unclear=("its settings are not shown", mailbox(copies=copies(members=[]))),
    ),
    Row(
        precondition=dependencies_healthy,
        good=("what the ailing monitors of the server depend on is Healthy there, or has no health set", needing()),
        bad=(("a monitor of it is Unhealthy, Degraded or Repairing", needing("Unhealthy")),),
        unclear=("one is stale or Unknown, or none is Healthy", needing("Unknown")),
    ),
    Row(
        precondition=recovery_over,
        good=(
            (
                "no recovery action of Managed Availability is under way, none without an end before its expected end; "
                "its service restarts are noted"
            ),
            mailbox(),
        ),
        bad=(("one is under way", mailbox(recovery=recovery(ago=timedelta(minutes=1), took=None))),),
    ),
    Row(
        precondition=service_automatic,
        good=("the service exists and starts Automatic", mailbox()),
        bad=(("it starts Manual or is Disabled, or there is none", mailbox(state=windows(start_type="Manual"))),),
    ),
    Row(
        precondition=proxy_active,
        good=("PopProxy is Active, or the service is not MSExchangePOP3", client_access()),
        bad=(
            (
                "Inactive or Draining by HealthAPI alone",
                client_access(exchange=with_component(CAS1, "PopProxy", "Inactive", "HealthAPI")),
            ),
            ("by anybody else", client_access(exchange=with_component(CAS1, "PopProxy", "Inactive", "Maintenance"))),
        ),
        unclear=(
            "nobody is named who asked for that",
            client_access(exchange=with_component(CAS1, "PopProxy", "Inactive")),
        ),
    ),
    Row(
        precondition=cause_on_the_server,
        good=("the reason that the probe gives blames neither its mailbox's logon nor the certificate", mailbox()),
        bad=(("it does", mailbox(probe_reason="Auth")),),
    ),
    Row(
        precondition=certificate_valid,
        good=("the certificate that the POP settings name is there and valid, or it is not told", mailbox()),
        bad=(
            (
                "it is missing, expired or not valid yet",
                mailbox(pop=pop_settings(certificate={"name": "pop.contoso.com", "found": False})),
            ),
        ),
        unclear=("the POP settings are not known", mailbox(pop=None)),
    ),
    Row(
        precondition=activation_held,
        good=(
            "activation is still blocked by this incident",
            mailbox(blocked_by_us=True, copies=settings_changed(0, activation_blocked=True)),
        ),
        bad=(("it is not any more", mailbox(blocked_by_us=True)),),
        unclear=("its settings are not shown", mailbox(copies=copies(members=[]))),
    ),
    Row(
        precondition=no_reboot_pending,
        good=("no update waits for a reboot; files to be renamed at the next start are noted", mailbox()),
        bad=(("one does", mailbox(state=state(reboot_pending=pending(windows_update=True)))),),
        unclear=("it does not say", mailbox(state=state(reboot_pending=None))),
    ),
    Row(
        precondition=recovery_rested,
        good=("Managed Availability has neither rebooted it in 12 hours nor failed over from it in one", mailbox()),
        bad=(("it has", mailbox(recovery=recovery("ForceReboot"))),),
        unclear=(
            "the answer cannot be read, or shows only what is too new",
            mailbox(recovery=recovery(ago=timedelta(minutes=5), truncated=True)),
        ),
    ),
    Row(
        precondition=in_a_dag,
        good=("the server is in a DAG", mailbox()),
        bad=(("it stands alone", mailbox(copies=copies(dag=None))),),
        unclear=("the copies are not known", mailbox(copies=None)),
    ),
    Row(
        precondition=members_operational,
        good=("all members operational, none in maintenance, every cluster node Up", mailbox()),
        bad=(("one is not", mailbox(dag=member_changed(1, operational=False))),),
        unclear=("a node in no clear state, or two answers about the members differ", mailbox(dag=dag(members=[]))),
    ),
    Row(
        precondition=quorum_survives,
        good=("more than half of the votes are left without this server", mailbox()),
        bad=(("half of them or fewer", mailbox(dag=member_changed(1, node_state="Down"))),),
        unclear=("two answers about the members differ", mailbox(dag=dag(members=[]))),
    ),
    Row(
        precondition=replication_clean,
        good=(
            (
                "Test-ReplicationHealth passed every check; once activation is blocked by this incident and every "
                "database is Mounted elsewhere, DatabaseAvailabilityCheck may fail"
            ),
            mailbox(),
        ),
        bad=(
            (
                "one failed",
                mailbox(dag=dag(replication=[{"server": "MBX1", "check": "ReplayService", "passed": False}])),
            ),
        ),
        unclear=(
            "it shows no check of this server, or one whose Result cannot be read",
            mailbox(dag=dag(replication=[])),
        ),
    ),
    Row(
        precondition=copies_known,
        good=("every copy of every database here is shown, with one active copy each", mailbox()),
        bad=(),
        unclear=(
            "rows or settings are missing, or a copy is ServiceDown, Unknown or Misconfigured",
            mailbox(copies=copy_changed(2, status="ServiceDown")),
        ),
    ),
    Row(
        precondition=no_seeding,
        good=("no copy is being seeded from here", mailbox()),
        bad=(("one is", mailbox(copies=copy_changed(2, status="Seeding"))),),
        unclear=("the copies are not known", mailbox(copies=None)),
    ),
    Row(
        precondition=others_known,
        good=("every other member of the DAG tells what was done there", mailbox(members=(member(),))),
        bad=(),
        unclear=("one does not answer", mailbox(members=(member(silence="no answer"),))),
    ),
    Row(
        precondition=refuges_exist,
        good=(
            "every database active here has a copy elsewhere that could take over",
            mailbox(),
        ),
        bad=(("one has none", mailbox(copies=copy_changed(1, status="Failed"))),),
        unclear=("the copies are not known", mailbox(copies=None)),
    ),
    Row(
        precondition=nothing_active,
        good=("no copy here is active, and each database is Mounted elsewhere", mailbox(copies=moved())),
        bad=(("one is active here, or not Mounted elsewhere", mailbox()),),
        unclear=("the copies are not known", mailbox(copies=None)),
    ),
    Row(
        precondition=holds_no_copies,
        good=("the server itself says that it has no Mailbox role", client_access()),
        bad=(("it has, or the inventory says so", mailbox()),),
        unclear=("it does not say", client_access(copies=None)),
    ),
    Row(
        precondition=another_serves,
        good=(
            "another Client Access server of the site serves it",
            client_access(),
        ),
        bad=(
            (
                "there is none, or none is",
                client_access(neighbours=(neighbour(health=pop_health("PopCTPMonitor", alert_value="Unhealthy")),)),
            ),
        ),
        unclear=(
            "one cannot be read, or shows stale monitors or none",
            client_access(neighbours=(neighbour(health=None, silence="no answer"),)),
        ),
    ),
    Row(
        precondition=nobody_logged_on,
        good=("nobody is logged on at the console or by Remote Desktop", mailbox()),
        bad=(("somebody is", mailbox(state=state(logons=logons("CONTOSO\\ann")))),),
        unclear=("it does not say who is", mailbox(state=state(logons=None))),
    ),
)


def said(verdict: Verdict) -> str:
    """A verdict in the words of the table."""
    match verdict:
        case Allow():
            return "go"
        case Hold():
            minutes = [span.total_seconds() / 60 for span in (verdict.after, verdict.deadline)]
            return f"wait {minutes[0]:.0f} minutes and verify afresh, for at most {minutes[1]:.0f}"
        case Refuse():
            return "never"
        case CannotTell():
            return "read again"


def table() -> str:
    """The table of docs/preconditions.md, as the code decides."""
    head = ["Precondition", "Good", "Bad", "Cannot tell", *BEFORE]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in ROWS:
        good, *bad = [f"{words}: **{said(row.precondition(facts))}**" for words, facts in (row.good, *row.bad)]
        unread = ("the answer cannot be read", None) if row.unclear is None else row.unclear
        verdict = CannotTell(reason="") if unread[1] is None else row.precondition(unread[1])
        unclear = f"{unread[0]}: **{said(verdict)}**"
        asked = ["x" if row.precondition in before else "" for before in BEFORE.values()]
        lines.append(_line([f"`{row.precondition.__name__}`", good, "; ".join(bad), unclear, *asked]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
