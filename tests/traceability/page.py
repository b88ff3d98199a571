"""The structure of Microsoft's "Troubleshooting POP Health Set" (Exchange 2013, last modified 2015-03-09).

What docs/pop-health-set.md must account for: the id of each numbered step, with the command that the page gives
there, if any; each row of its table of probes; and each place where the page does not say what it means.
"""

from dataclasses import dataclass

_HEALTH = "Get-ServerHealth"
_MOVE = "Set-MailboxServer -Identity <ServerName> -DatabaseCopyActivationDisabledAndMoveNow $true"
_BACK = "Set-MailboxServer -Identity <ServerName> -DatabaseCopyActivationDisabledAndMoveNow $false"
_COPIES = "Get-MailboxDatabaseCopyStatus -Server <ServerName> | group status"


@dataclass(frozen=True)
class Section:
    """A section of the page: its heading, and its steps with the page's commands."""

    heading: str
    letter: str  #: what the ids of its steps begin with
    steps: dict[str, str]


SECTIONS = (
    Section(
        "Verifying the issue still exists",
        "V",
        {"1": "", "2": "", "2a": _HEALTH, "2b": "AlertValue", "2c": "Invoke-MonitoringProbe", "2d": "Result"},
    ),
    Section(
        "PopTestDeepMonitor and PopSelfTestMonitor recovery actions",
        "M",
        {"1": "", "2": "", "3": _MOVE, "4": _COPIES, "5": "", "6": "", "7": _BACK, "8": ""},
    ),
    Section(
        "POPCTPMonitor recovery actions",
        "C",
        {
            "1": "",
            "2": "",
            "3": "",
            "3.1": "Set-PopSettings -server <CAS server name> -ProtocolLoggingEnabled $true",
            "3.2": "",
            "3.3": "",
            "3.4": "Get-PopSettings -server <CAS server name>",
            "3.5": 'Get-ServerHealth <mailbox server name> | ?{ $_.HealthSetName -like "POP*"}',
            "3.6": "",
            "4": "",
            "5": "",
            "6": "Set-PopSettings -server <CAS server name> -ProtocolLoggingEnabled $false",
            "7": "",
            "8": "",
        },
    ),
    Section("PopProxyTestMonitor recovery actions", "X", {"1": "", "2": "", "3": "", "4": "", "5": ""}),
    Section(
        "AverageCommandProcessingTimeGt60sMonitor recovery actions",
        "T",
        {"1": "", "2": _HEALTH, "3": "", "3.1": _MOVE, "3.2": _COPIES, "4": "", "5": _BACK, "6": ""},
    ),
)

#: (probe, its health set, monitor, the monitor's health set); the last one as the page means it, without a probe.
PROBES = (
    ("PopCTPProbe", "POP", "PopCTPMonitor", "POP"),
    ("PopProxyTestProbe", "POP.Proxy", "PopProxyTestMonitor", "POP.Proxy"),
    ("PopDeepTestProbe", "POP.Protocol", "PopDeepTestMonitor", "POP.Protocol"),
    ("PopSelfTestProbe", "POP.Protocol", "PopSelfTestMonitor", "POP.Protocol"),
    ("none", "", "AverageCommandProcessingTimeGt60sMonitor", "POP"),
)

#: The column "Dépendances" of that table, in English.
DEPENDENCIES = {
    "PopCTPMonitor": [
        "Active Directory",
        "Authentication",
        "Mailbox server authentication",
        "Information Store",
        "High availability",
        "Network",
    ],
    "PopProxyTestMonitor": [],
    "PopDeepTestMonitor": ["Active Directory", "Authentication", "Information Store", "High availability"],
    "PopSelfTestMonitor": [],
    "AverageCommandProcessingTimeGt60sMonitor": [],
}

#: What the page says and does not mean; K numbers are ours.
CORRECTIONS = {
    "K1": "service principal POP3",
    "K2": "serveurs d'autorités de certification",
    "K3": "serveur de base de données",
    "K4": "identifier la boîte aux lettres qui utilise cette commande",
    "K5": "basculez",
    "K6": "PopTestDeepMonitor",
    "K7": "-ProtocolLoggingEnabled",
    "K8": "Result",
    "K9": "MoveNow $false",
    "K10": "AverageCommandProcessingTimeGt60sMonitor",
}
