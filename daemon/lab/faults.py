"""What can be broken on a server of the lab, and with which options."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from daemon.domain.errors import OperatorError
from daemon.exchange import launch
from daemon.lab.fault_words import (
    ALERT_VALUES,
    CERTIFICATE_PROBLEMS,
    CHECKS,
    CMDLETS,
    COPY_STATUSES,
    HANGS,
    LOG_COLUMNS,
    LOG_FORMS,
    MAINTENANCE_FORMS,
    RECOVERIES,
    REQUESTERS,
    REQUESTS,
    RESULT_TYPES,
    RIGHTS,
    SESSION_REFUSALS,
    START_TYPES,
)


class Fault(StrEnum):
    """A way for a server to be broken. Several can be combined on one server."""

    RESTART_CURES = "restart_cures"
    REBOOT_CURES = "reboot_cures"
    INCURABLE = "incurable"
    HANGING = "hanging"
    HEALS_ITSELF = "heals_itself"
    PROBE_CANNOT_RUN = "probe_cannot_run"
    DATABASE_STUCK = "database_stuck"
    SERVICE_HANGS = "service_hangs"
    NEVER_BACK = "never_back"
    SILENT_ENDPOINT = "silent_endpoint"
    ANSWER_LOST = "answer_lost"
    CUT_BEFORE = "cut_before"
    GARBAGE_ANSWER = "garbage_answer"
    SCRIPT_BROKEN = "script_broken"
    SCRIPT_DIES = "script_dies"
    START_REFUSED = "start_refused"
    WSMAN_QUOTA = "wsman_quota"
    LATE_ANSWER = "late_answer"
    BACKEND_SICK = "backend_sick"
    LOG_NAMES_NOBODY = "log_names_nobody"
    LOG_COLUMNS_DIFFER = "log_columns_differ"
    STALE_MONITOR = "stale_monitor"
    MONITOR_SAYS = "monitor_says"
    EMPTY_ANSWER = "empty_answer"
    SECOND_TARGET_BAD = "second_target_bad"
    LAGGED_COPIES = "lagged_copies"
    SUSPENDED_COPIES = "suspended_copies"
    NODE_PAUSED = "node_paused"
    MAINTENANCE = "maintenance"
    RECOVERY_RUNNING = "recovery_running"
    RECOVERY_RECENT = "recovery_recent"
    RECOVERY_DEAD = "recovery_dead"
    START_TYPE = "start_type"
    POPPROXY_INACTIVE = "popproxy_inactive"
    REPLICATION_FAILED = "replication_failed"
    MEMBER_DOWN = "member_down"
    ROLES_DIFFER = "roles_differ"
    OTHER_CAS_SICK = "other_cas_sick"
    DEPENDENCY_SICK = "dependency_sick"
    CERTIFICATE = "certificate"
    LOGGED_ON = "logged_on"
    REBOOT_PENDING = "reboot_pending"
    WINDOWS_DENIES = "windows_denies"
    SERVICE_DIES = "service_dies"
    HAS_DEPENDENT = "has_dependent"
    PROBE_SAYS = "probe_says"
    NULLS = "nulls"
    SESSION_REFUSED = "session_refused"
    CMDLET_DENIED = "cmdlet_denied"
    NULL_PROPERTY = "null_property"
    CHANGE_LOST = "change_lost"
    COPY_STATUS = "copy_status"
    WITNESS = "witness"
    DATABASE_NAME = "database_name"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """What a fault does, in words, and the options it takes."""

    description: str
    options: tuple[str, ...] = ()


#: `service` makes every monitor that watches it sick (but for the counter of the processing time); `monitor` only one.
_POP = "the POP back end (on a server without the Mailbox role: the front end) is sick "

FAULTS: Mapping[Fault, FaultKind] = MappingProxyType(
    {
        Fault.RESTART_CURES: FaultKind(
            _POP + "until its service is restarted, so many times", ("service", "monitor", "restarts")
        ),
        Fault.REBOOT_CURES: FaultKind(_POP + "until the server is rebooted", ("service", "monitor")),
        Fault.INCURABLE: FaultKind(
            _POP + "and nothing exmedic does cures it; reason: what its probe says failed",
            ("service", "monitor", "reason"),
        ),
        Fault.HANGING: FaultKind(
            "the POP back end (or front end) hangs until its service or the server is restarted: its probe takes 110 "
            "seconds to fail",
            ("service", "monitor"),
        ),
        Fault.HEALS_ITSELF: FaultKind(
            _POP + "and heals by itself after some minutes", ("service", "monitor", "minutes")
        ),
        Fault.PROBE_CANNOT_RUN: FaultKind("probes of this server write a warning and no object"),
        Fault.DATABASE_STUCK: FaultKind("one of its active databases will not move away", ("database",)),
        Fault.SERVICE_HANGS: FaultKind(
            f"its POP service hangs whenever it is stopped, or while it starts; how: {', '.join(HANGS)}",
            ("service", "how"),
        ),
        Fault.SERVICE_DIES: FaultKind("its POP service ends by itself as soon as it runs again", ("service",)),
        Fault.HAS_DEPENDENT: FaultKind(
            "a service that is not Exchange's depends on its POP service, and runs", ("service", "start_type")
        ),
        Fault.WINDOWS_DENIES: FaultKind(
            f"Windows denies exmedic's account a right there: {' or '.join(RIGHTS)}", ("right", "service")
        ),
        Fault.PROBE_SAYS: FaultKind(f"its probes end in another ResultType: {', '.join(RESULT_TYPES)}", ("value",)),
        Fault.NULLS: FaultKind("what Exchange may leave out of its monitors' rows and probes' results is null"),
        Fault.NEVER_BACK: FaultKind("once rebooted, the server does not come back"),
        Fault.SILENT_ENDPOINT: FaultKind("its WinRM endpoint accepts connections and never answers"),
        Fault.ANSWER_LOST: FaultKind(
            "calls run on it or about it do their work, then the connection is cut before the answer",
            ("script", "count"),
        ),
        Fault.CUT_BEFORE: FaultKind(
            "the connection is cut when a request arrives (Command, or Create or Send), which then does nothing",
            ("request", "count"),
        ),
        Fault.GARBAGE_ANSWER: FaultKind(
            "calls run on it or about it do their work and answer with text that is no JSON", ("script", "count")
        ),
        Fault.SCRIPT_BROKEN: FaultKind(
            "scripts run on it or about it end in an error of their own before they have done anything",
            ("script", "count"),
        ),
        Fault.SCRIPT_DIES: FaultKind(
            "scripts run on it or about it end in an error of their own after they have done their work",
            ("script", "count"),
        ),
        Fault.START_REFUSED: FaultKind("nobody may start its POP service, but stop it", ("service",)),
        Fault.WSMAN_QUOTA: FaultKind("no more shells: Create answers fault 2150859174", ("count",)),
        Fault.LATE_ANSWER: FaultKind(
            "the first Receives of a call run on it or about it end in fault 2150858793 (operation timed out)",
            ("script", "count", "timeouts"),
        ),
        Fault.BACKEND_SICK: FaultKind(
            "its PopCTPProbe fails while the POP back end of the Mailbox server that it goes to is sick or stopped",
            ("backend",),
        ),
        Fault.LOG_NAMES_NOBODY: FaultKind(
            f"its POP protocol log does not say which server served a failing probe; form: {', '.join(LOG_FORMS)}",
            ("form",),
        ),
        Fault.LOG_COLUMNS_DIFFER: FaultKind(
            f"its POP protocol log has other columns; form: {', '.join(LOG_COLUMNS)}", ("form",)
        ),
        Fault.STALE_MONITOR: FaultKind("a monitor's row (or those of all its POP monitors) is stale", ("monitor",)),
        Fault.MONITOR_SAYS: FaultKind(
            "a monitor's row (or those of all its POP monitors) has another AlertValue, whatever its probe shows",
            ("monitor", "value", "error"),
        ),
        Fault.EMPTY_ANSWER: FaultKind(
            "Exchange answers calls run on it or about it with no object at all", ("script", "count")
        ),
        Fault.SECOND_TARGET_BAD: FaultKind(
            "a monitor has a second row, Unhealthy, for another TargetResource", ("monitor",)
        ),
        Fault.LAGGED_COPIES: FaultKind("its passive copies are lagged", ("database",)),
        Fault.SUSPENDED_COPIES: FaultKind("its passive copies are suspended", ("database",)),
        Fault.NODE_PAUSED: FaultKind("its cluster node is paused"),
        Fault.MAINTENANCE: FaultKind(f"somebody else maintains it; form: {', '.join(MAINTENANCE_FORMS)}", ("form",)),
        Fault.RECOVERY_RUNNING: FaultKind(
            "Managed Availability has a recovery action under way, for some minutes", ("action", "minutes")
        ),
        Fault.RECOVERY_RECENT: FaultKind(
            "Managed Availability ended a recovery action some minutes ago", ("action", "minutes")
        ),
        Fault.RECOVERY_DEAD: FaultKind(
            "a recovery action of Managed Availability was to end within some minutes, and its end is never recorded",
            ("action", "minutes"),
        ),
        Fault.START_TYPE: FaultKind("its POP service has another start type", ("service", "start_type")),
        Fault.POPPROXY_INACTIVE: FaultKind(
            "its component PopProxy is Inactive, so that its POP front end stops again whenever it starts",
            ("requester",),
        ),
        Fault.REPLICATION_FAILED: FaultKind("one of its replication checks fails", ("check",)),
        Fault.MEMBER_DOWN: FaultKind("this member of a DAG is down; its databases fail over"),
        Fault.ROLES_DIFFER: FaultKind("it answers that it has other roles than the inventory says"),
        Fault.OTHER_CAS_SICK: FaultKind("the other Client Access servers of its site are sick, incurably"),
        Fault.DEPENDENCY_SICK: FaultKind(
            "a health set that POP depends on is unhealthy there, and nothing exmedic does cures it", ("health_set",)
        ),
        Fault.CERTIFICATE: FaultKind(
            f"the certificate that its POP settings name is {' or '.join(CERTIFICATE_PROBLEMS)}", ("problem",)
        ),
        Fault.LOGGED_ON: FaultKind(
            "somebody is logged on to it, at the console; account: one or several, with commas", ("account",)
        ),
        Fault.REBOOT_PENDING: FaultKind("Windows Update waits for a reboot of it"),
        Fault.SESSION_REFUSED: FaultKind(
            f"from it no session of Exchange can be opened: {', '.join(SESSION_REFUSALS)}", ("refusal",)
        ),
        Fault.CMDLET_DENIED: FaultKind(
            "the account's roles do not grant a cmdlet of Exchange: scripts run on it or about it are denied it",
            ("cmdlet",),
        ),
        Fault.NULL_PROPERTY: FaultKind(
            "in what Exchange answers about it, a property has no value, so that scripts end in an error",
            ("missing",),
        ),
        Fault.CHANGE_LOST: FaultKind(
            "the session of Exchange ends when a script has sent its change, which then is not made: no answer",
            ("script", "count"),
        ),
        Fault.COPY_STATUS: FaultKind(
            f"its passive copies (or that of one database) have a status: {', '.join(COPY_STATUSES)}",
            ("database", "status"),
        ),
        Fault.WITNESS: FaultKind("the witness of its DAG is in use, or not", ("share",)),
        Fault.DATABASE_NAME: FaultKind("one of the databases active on it has another name", ("database", "called")),
    }
)

#: Faults that make a POP service sick.
SICKNESS = frozenset({Fault.RESTART_CURES, Fault.REBOOT_CURES, Fault.INCURABLE, Fault.HEALS_ITSELF, Fault.HANGING})


@dataclass(slots=True, kw_only=True)
class Injected:
    """A fault on a server, made by `injected`. `count` None: until it is cured; otherwise how many more strikes."""

    fault: Fault
    at: datetime  #: since when, lab time
    service: str = ""
    monitor: str = ""
    backend: str = ""
    form: str = ""
    how: str = ""
    right: str = ""
    action: str = ""
    start_type: str = ""
    requester: str = ""
    check: str = ""
    health_set: str = "AD"
    value: str = ""
    error: str = ""  #: of the monitor's row
    reason: str = "Networking"
    problem: str = ""
    account: str = "CONTOSO\\jdupont"
    minutes: float = 3.0  #: of lab time
    database: str = ""
    script: str = ""  #: empty: any
    request: str = ""
    cmdlet: str = ""
    missing: str = ""
    status: str = ""
    share: str = ""
    refusal: str = ""
    called: str = "Données Œuvres 3"
    count: int | None = field(default=None)
    restarts: int = 1  #: of its service, until that cures it
    timeouts: int = 2  #: operation time-outs before the answer

    @property
    def accounts(self) -> list[str]:
        """Those who are logged on."""
        return [each.strip() for each in self.account.split(",")]

    def strikes(self, *, script: str = "", request: str = "") -> bool:
        """Whether it applies to this script or request; counts the strike."""
        wrong_script = self.script and script != self.script
        if self.count == 0 or wrong_script or (request and request != self.request):
            return False
        if self.count is not None:
            self.count -= 1
        return True


def fault_named(fault: Fault | str) -> Fault:
    """The fault of that name.

    Raises:
        OperatorError: there is none.
    """
    try:
        return Fault(fault)
    except ValueError:
        raise OperatorError(f"The lab has no fault {fault!r}. It has: {', '.join(Fault)}.") from None


def injected(fault: Fault | str, options: Mapping[str, object], at: datetime) -> Injected:
    """A fault with its options checked.

    Raises:
        OperatorError: there is no such fault, or it does not take one of the options, or a value has the wrong type.
    """
    kind = fault_named(fault)
    allowed = FAULTS[kind].options
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise OperatorError(
            f"The fault {kind} takes no option {unknown[0]!r}. It takes: {', '.join(allowed) or 'none'}."
        )
    for name, value in options.items():
        wanted = _NUMBERS.get(name, str)
        if not isinstance(value, wanted) or isinstance(value, bool) or (wanted is not str and not _above_zero(value)):
            raise OperatorError(f"The option {name} of the fault {kind} cannot be {value!r}.")
    for name, choices in _choices(kind).items():
        if options.get(name, choices[0]) not in choices:
            raise OperatorError(
                f"The option {name} of the fault {kind} cannot be {options[name]!r}: {', '.join(choices)}."
            )
    result = Injected(fault=kind, at=at)
    for name, choices in _choices(kind).items():
        setattr(result, name, choices[0])
    for known in fields(Injected):
        if known.name in options:
            setattr(result, known.name, options[known.name])
    return result


_NUMBERS: Mapping[str, type | tuple[type, ...]] = MappingProxyType(
    {"minutes": (int, float), "count": int, "restarts": int, "timeouts": int}
)
#: The words that an option takes, the first without it. What is not among them would break nothing.
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "how": HANGS,
        "right": RIGHTS,
        "action": RECOVERIES,
        "start_type": START_TYPES,
        "requester": REQUESTERS,
        "request": REQUESTS,
        "problem": CERTIFICATE_PROBLEMS,
        "script": ("", *launch.NAMES),
        "check": CHECKS[::-1],
        "cmdlet": ("Get-MailboxDatabaseCopyStatus", *CMDLETS),
        "missing": ("ActiveCopy", *dict.fromkeys(each for needed in CMDLETS.values() for each in needed)),
        "status": COPY_STATUSES,
        "refusal": SESSION_REFUSALS,
        "share": ("Primary", "Alternate", "None", "InvalidConfiguration"),
    }
)
_CHOICES_OF: Mapping[Fault, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        Fault.MONITOR_SAYS: {"value": ALERT_VALUES},
        Fault.PROBE_SAYS: {"value": RESULT_TYPES},
        Fault.MAINTENANCE: {"form": MAINTENANCE_FORMS},
        Fault.LOG_NAMES_NOBODY: {"form": LOG_FORMS},
        Fault.LOG_COLUMNS_DIFFER: {"form": LOG_COLUMNS},
    }
)


def _choices(kind: Fault) -> dict[str, tuple[str, ...]]:
    known = {**_CHOICES, **_CHOICES_OF.get(kind, {})}
    return {name: known[name] for name in FAULTS[kind].options if name in known}


def _above_zero(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
