"""The words that the options of faults take: forms, values, checks, cmdlets, statuses."""

from collections.abc import Mapping
from types import MappingProxyType

#: Forms of the fault `maintenance`, each on its own a sign that somebody else works on the server.
MAINTENANCE_FORMS = ("server_wide_offline", "hub_transport", "activation", "policy")

CERTIFICATE_PROBLEMS = ("missing", "expired")
#: How a service hangs: it stays StopPending once it is stopped; it does not answer the order to stop (error 1053); it
#: never ends starting, and so takes no order (error 1061).
HANGS = ("stopping", "no_answer", "starting")
#: What an account may be denied: every question by CIM, or to stop and start a service.
RIGHTS = ("cim", "service")
#: Microsoft, Get-ServerHealth and Invoke-MonitoringProbe.
ALERT_VALUES = (
    "Repairing", "Healthy", "Degraded", "Unhealthy", "Disabled", "Unavailable", "UnInitialized", "Unknown",
)  # fmt: skip
RESULT_TYPES = ("Timeout", "Poisoned", "Failed", "Quarantined", "Rejected")
START_TYPES = ("Manual", "Disabled")
#: Who may ask for the state of a component.
REQUESTERS = ("Maintenance", "HealthAPI", "Sidelined", "Functional", "Deployment")
RECOVERIES = (
    "RestartService", "ForceReboot", "DatabaseFailover", "ServerFailover", "TakeComponentOffline", "PutDcInMM",
)  # fmt: skip
#: How a log names nobody: the logon was refused before the user was known, or the way to the back end timed out.
LOG_FORMS = ("refused", "timed_out")
#: Other columns: in another order, without the last one, and lines that leave out the last cell.
LOG_COLUMNS = ("order", "twelve", "short_lines")
REQUESTS = ("Command", "Create", "Send")

#: Test-ReplicationHealth of 2013. Microsoft, Test-ReplicationHealth reference.
CHECKS = (
    "ClusterService",
    "ReplayService",
    "ActiveManager",
    "TasksRpcListener",
    "TcpListener",
    "ServerLocatorService",
    "DagMembersUp",
    "ClusterNetwork",
    "QuorumGroup",
    "FileShareQuorum",
    "DatabaseRedundancyCheck",
    "DatabaseAvailabilityCheck",
    "DBCopySuspended",
    "DBCopyFailed",
    "DBInitializing",
    "DBDisconnected",
    "DBLogCopyKeepingUp",
    "DBLogReplayKeepingUp",
)

#: The cmdlets that the scripts send, with what a row of each must have for them.
CMDLETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Get-ExchangeServer": ("Fqdn", "IsMailboxServer", "IsClientAccessServer", "AdminDisplayVersion"),
        "Get-ServerComponentState": ("Component", "State"),
        "Get-MailboxServer": ("DatabaseCopyActivationDisabledAndMoveNow", "DatabaseCopyAutoActivationPolicy"),
        "Set-MailboxServer": (),
        "Get-DatabaseAvailabilityGroup": (),
        "Get-MailboxDatabase": (),
        "Get-MailboxDatabaseCopyStatus": (
            "MailboxServer",
            "DatabaseName",
            "Status",
            "ActiveCopy",
            "ActivationSuspended",
            "CopyQueueLength",
            "ReplayQueueLength",
        ),
        "Test-ReplicationHealth": ("Server", "Check", "Result"),
        "Get-ServerHealth": (),
        "Invoke-MonitoringProbe": (),
        "Get-PopSettings": ("ProtocolLogEnabled", "LogFileLocation"),
        "Set-PopSettings": (),
        "Get-ExchangeCertificate": (),
    }
)

#: Of a passive copy. Microsoft, Get-MailboxDatabaseCopyStatus reference.
COPY_STATUSES = (
    "Failed",
    "FailedAndSuspended",
    "Suspended",
    "Seeding",
    "SeedingSource",
    "Initializing",
    "Resynchronizing",
    "DisconnectedAndHealthy",
    "DisconnectedAndResynchronizing",
    "SinglePageRestore",
    "ServiceDown",
    "Unknown",
    "Misconfigured",
    "NonExchangeReplication",
)

#: The logon was accepted and not allowed in, it was refused, or nobody answered.
SESSION_REFUSALS = ("denied", "logon", "no_session")

SET_SCRIPTS = ("set_activation", "set_protocol_log")
