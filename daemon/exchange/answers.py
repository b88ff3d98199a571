"""What each shipped script takes and answers: the contract between `exchange/scripts/*.ps1`, the actions and the lab.

Every script writes one JSON line, the envelope; its `result` has the shape given here. An answer that does not fit
is not understood, which is `unknown`, never healthy and never unhealthy. Shapes follow Microsoft's cmdlet reference;
extra fields are ignored, missing ones are not.

Arguments, by script (all JSON; after `not_after`, on the executing server's own clock, it is `expired`: nothing done):

| script            | runs on | effect     | arguments                                          |
|-------------------|---------|------------|----------------------------------------------------|
| server_health     | a peer  | read       | server, health_sets                                |
| invoke_probe      | a peer  | read       | server, health_set, probe                          |
| database_copies   | a peer  | read       | server                                             |
| set_activation    | a peer  | set value  | server, expected, value, not_after                 |
| server_state      | itself  | read       | services                                           |
| restart_service   | itself  | disruptive | service, stop_timeout (seconds), not_after         |
| reboot            | a peer  | disruptive | server, mailbox, not_after                         |
| step_running      | any     | read       | step                                               |
| exchange_server   | a peer  | read       | server                                             |
| dag_health        | a peer  | read       | server                                             |
| recovery_log      | itself  | read       | hours                                              |
| pop_settings      | a peer  | read       | server                                             |
| set_protocol_log  | a peer  | set value  | server, expected, value, not_after                 |
| protocol_log      | itself  | read       | folder, since, until (its own clock), users        |
| organisation      | anybody | read       | (none)                                             |

`reboot` looks itself, last before `not_after`, and refuses with the error kind `conflict`, having done nothing, when an
active database copy may be on the server. `mailbox` true: its DatabaseCopyActivationDisabledAndMoveNow is not true any
more, a copy there is active, or no row tells of one. `mailbox` false: Exchange says that it is a Mailbox server after
all. When it cannot look it is `broken`.

What an error may mean follows from one flag in the prelude, set directly before the first change. Not set: nothing was
tried, and what nobody expected is `broken`. Set: no answer at all (exit code 3), so that evidence decides; but for
`hung` and `failed`, which say how it ended, and a first change refused for want of a right, which takes the flag back.

One of `health_sets` that ends in `*` means every health set whose name begins so, as the page's `-like "POP*"`.

"A peer" is another server than the one the script is about: Exchange answers for every server, and a server that is
going down cannot report its own reboot. When no credential travels on stdin, scripts that need a second hop (all that
run on a peer) work only under CredSSP or Kerberos delegation; otherwise they answer with the error kind `second_hop`,
and `logon` when Exchange refuses the password that they were given. Where the session fails for any other reason it is
`no_session`: nothing was tried.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return value


Moment = Annotated[datetime, AfterValidator(_aware)]

ErrorKind = Literal[
    "expired", "conflict", "not_found", "denied", "second_hop", "logon", "no_session", "broken", "hung", "failed"
]


def same_server(one: str, other: str) -> bool:
    """Whether two names mean the same server: Exchange answers with the short name or the full one, in any case."""
    first, second = one.lower(), other.lower()
    return first == second or (
        first.partition(".")[0] == second.partition(".")[0] and ("." not in first or "." not in second)
    )


class Answer(BaseModel):
    """What a script answers, as far as it is known: more fields may come, none may be missing."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class ScriptError(Answer):
    """Why a script said no. It changed nothing, unless the kind is `hung` or `failed`: then it tried in vain.

    `broken` and `no_session` say nothing about the server asked about.
    """

    kind: ErrorKind
    message: str


class Envelope(Answer):
    """The line that every script writes. `host` is the executing server's FQDN, `clock` its own time."""

    powershell: str = ""  #: its version, such as 5.1.17763.1; empty: it does not say
    warnings: tuple[str, ...] = ()  #: of Exchange, and why a part of the answer could not be read
    exmedic: Literal[1]
    script: str
    step: str
    host: str
    clock: Moment
    ok: bool
    result: dict[str, object] | None = None
    error: ScriptError | None = None


class HealthRow(Answer):
    """One row of Get-ServerHealth. The same `name` can come twice with another `target_resource`."""

    server: str
    name: str
    target_resource: str = ""
    health_set: str
    alert_value: str
    is_stale: bool
    current_health_set_state: str = ""
    last_transition: Moment | None = None
    error: str = ""


class ServerHealth(Answer):
    """Get-ServerHealth -Identity SERVER -HealthSet HEALTH_SET."""

    rows: tuple[HealthRow, ...]


class ProbeResult(Answer):
    """One object of Invoke-MonitoringProbe. `result_type` as Microsoft spells it: Succeeded, Failed, Timeout ...

    `reason`: StateAttribute1, what failed, short: Auth, Monitoring, Networking, a negotiation of TLS. The other state
    attributes and its execution context are not taken: a failing probe writes its mailbox's user name and password
    there.
    """

    server: str
    monitor_identity: str
    request_id: str = ""
    started: Moment | None = None
    ended: Moment | None = None
    result_type: str
    error: str = ""
    exception: str = ""
    failure_context: str = ""
    reason: str = ""


class ProbeRun(Answer):
    """Invoke-MonitoringProbe. A probe that cannot run writes a warning and no object."""

    objects: tuple[ProbeResult, ...]
    warnings: tuple[str, ...] = ()


class MailboxServer(Answer):
    """Get-MailboxServer, for the server asked about and for every other member of its DAG."""

    server: str
    activation_blocked: bool  #: DatabaseCopyActivationDisabledAndMoveNow
    activation_policy: str  #: DatabaseCopyAutoActivationPolicy: Unrestricted, IntrasiteOnly, Blocked


class DatabaseCopy(Answer):
    """One row of Get-MailboxDatabaseCopyStatus."""

    database: str
    server: str
    status: str
    active: bool
    activation_suspended: bool
    copy_queue: int
    copy_queue_stale: bool = False  #: LastLogInfoIsStale: then a copy queue of 0 means nothing
    replay_queue: int
    lagged: bool  #: ReplayLagStatus is enabled, or the copy has a configured replay lag
    content_index: str = ""


class DatabaseCopies(Answer):
    """All copies, on all servers, of every database that has a copy on the server asked about.

    `dag` is None for a standalone server. `databases` counts the databases with a copy on the server, from
    Get-MailboxDatabase -Server, so that a truncated list of copies shows. A server without the Mailbox role
    answers `mailbox_role: false` and nothing else.
    """

    server: str
    mailbox_role: bool
    dag: str | None = None
    databases: int = 0
    members: tuple[MailboxServer, ...] = ()
    copies: tuple[DatabaseCopy, ...] = ()


class Activation(Answer):
    """Set-MailboxServer -DatabaseCopyActivationDisabledAndMoveNow, as a compare-and-set.

    The value before equal to `value`: nothing to do, `changed` false. Neither `value` nor `expected`: error `conflict`.
    """

    server: str
    before: bool
    after: bool
    changed: bool


class ServiceState(Answer):
    """Win32_Service and its process. `pid` 0 and `started_at` None while it does not run."""

    name: str
    status: str  #: Running, Stopped, StopPending, StartPending ...
    start_type: str  #: Automatic, Manual, Disabled
    pid: int
    started_at: Moment | None = None


class LoggedOn(Answer):
    """Somebody logged on interactively: Win32_LogonSession of type 2 or 11 (console), 10 or 12 (Remote Desktop)."""

    account: str  #: DOMAIN\\name
    how: str  #: console, remote
    since: Moment | None = None


class Logons(Answer):
    """Who is logged on interactively; `count` so that a truncated list shows."""

    count: int
    people: tuple[LoggedOn, ...]


class RebootPending(Answer):
    """What waits for a restart, from the registry: RebootPending, RebootRequired, PendingFileRenameOperations."""

    servicing: bool = Field(strict=True)
    windows_update: bool = Field(strict=True)
    file_renames: bool = Field(strict=True)


class ComponentRequest(Answer):
    """Who asked for which state of a component, and when: a value of the server's registry, or of LocalStates."""

    requester: str  #: HealthAPI, Maintenance, Sidelined, Functional, Deployment
    state: str
    at: Moment | None = None


class ServerState(Answer):
    """The Windows side of a server. `restart_requested_at`: its latest event User32/1074 since it booted.

    `component_requests`: who asks for which state, by component, from the server's own registry: a session of Exchange
    loses them. `logons`, `reboot_pending` and `component_requests` None: it does not say. `restarts_readable` false:
    nor whether a restart was asked for.
    """

    boot_time: Moment
    restart_requested_at: Moment | None = None
    restart_comment: str | None = None  #: what was said with it; `exmedic STEP` for one of ours
    restarts_readable: bool = True
    services: tuple[ServiceState, ...]
    logons: Logons | None = None
    reboot_pending: RebootPending | None = None
    component_requests: dict[str, tuple[ComponentRequest, ...]] | None = None


class RestartedService(Answer):
    """Restart of a service. Error `hung`: it did not stop in time; it is left as it is."""

    service: ServiceState


class Rebooting(Answer):
    """A reboot that Windows has accepted; it has not happened yet."""

    accepted: bool = Field(strict=True)


class StepRunning(Answer):
    """Whether a process that exmedic started for a step still runs on the executing server."""

    running: bool
    looked_at: Moment  #: the server's own time before it looked: a process that begins later is not seen
    began: bool  #: the step's mark is on its disk; only `set_activation` leaves one, just before it acts


class Component(Answer):
    """One row of Get-ServerComponentState. Any requester's Inactive wins, and only the same one can lift it."""

    name: str
    state: str  #: Active, Inactive, Draining
    requests: tuple[ComponentRequest, ...] = ()


class ExchangeServer(Answer):
    """Get-ExchangeServer and Get-ServerComponentState of one server. `version` as AdminDisplayVersion says it."""

    server: str
    mailbox_role: bool
    client_access_role: bool
    version: str
    site: str = ""
    components: tuple[Component, ...]


class DagMember(Answer):
    """A member of a DAG. `node_state` is the cluster's: Up, Down, Paused, Joining; empty when it could not be asked."""

    server: str
    operational: bool
    in_maintenance: bool
    node_state: str = ""


class ReplicationCheck(Answer):
    """One row of Test-ReplicationHealth. Not `readable`: its Result is neither Passed nor a failure that is known."""

    server: str
    check: str
    passed: bool
    readable: bool = True
    error: str = ""


class DagHealth(Answer):
    """Get-DatabaseAvailabilityGroup -Status, Test-ReplicationHealth of the server, and the cluster's nodes.

    `dag` is None for a server in no DAG. `witness_counts`: the witness share is in use, so it has a vote.
    """

    server: str
    dag: str | None = None
    members: tuple[DagMember, ...] = ()
    witness_counts: bool = False
    replication: tuple[ReplicationCheck, ...] = ()


class RecoveryAction(Answer):
    """One recovery action of Managed Availability, from Microsoft-Exchange-ManagedAvailability/RecoveryActionResults.

    `ended` is None while it is under way, and for ever when whoever carried it out died. `expected_end`: by when it was
    expected to end, as its Started event says; None: it does not say.
    """

    action: str  #: RestartService, ForceReboot, DatabaseFailover, ServerFailover, TakeComponentOffline ...
    resource: str
    started: Moment
    ended: Moment | None = None
    expected_end: Moment | None = None
    result: str = ""


class RecoveryLog(Answer):
    """The recovery actions of the last hours, newest first.

    `truncated`: there were more than were sent, which are the newest. What they count is a lower bound then.
    """

    actions: tuple[RecoveryAction, ...]
    truncated: bool = False


class CertificateState(Answer):
    """The certificate that X509CertificateName of the POP settings names, as Get-ExchangeCertificate -Server has it.

    Not `found`: the server has none of that name; then it has no times.
    """

    name: str
    found: bool
    valid_from: Moment | None = None
    valid_until: Moment | None = None


class PopSettings(Answer):
    """Get-PopSettings -Server. `certificate` None: it does not say."""

    server: str
    protocol_log_enabled: bool
    log_location: str
    certificate: CertificateState | None = None


class ProtocolLogSet(Answer):
    """Set-PopSettings -ProtocolLogEnabled as a compare-and-set; errors as with `Activation`."""

    server: str
    before: bool
    after: bool
    changed: bool


class ProtocolLog(Answer):
    """The lines of the POP protocol log that belong to sessions of `users` (patterns) within a span of time.

    `columns` are the names after `#Fields:` of the file the rows came from. `files` counts the files looked at,
    `truncated` says that there were more rows than were sent.
    """

    files: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    truncated: bool
