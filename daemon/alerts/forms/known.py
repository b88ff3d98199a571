"""The names of health sets, monitors and services by which an alert in any language is understood: none is translated.

Sources: the index of Microsoft's "Troubleshooting <name> Health Set" pages and their tables of probes and monitors; the
runbooks' own names come on top.
"""

import re
from collections.abc import Iterable
from typing import Final

from statemachines.catalogue import MONITORS, SERVICES, Tier
from statemachines.model import Definition

_HEALTH_SETS: Final = [
    "ActiveSync",
    "ActiveSync.Protocol",
    "ActiveSync.Proxy",
    "AD",
    "Antimalware",
    "AntiSpam",
    "Autodiscover",
    "Autodiscover.Protocol",
    "Autodiscover.Proxy",
    "Classification",
    "ClientAccess.Proxy",
    "Compliance",
    "DataProtection",
    "DiskSpace",
    "ECP",
    "ECP.Proxy",
    "EDS",
    "EventAssistants",
    "EWS",
    "EWS.Protocol",
    "EWS.Proxy",
    "FfoQuarantine",
    "FfoTransport",
    "FfoUmc",
    "FfoWebService",
    "FIPS",
    "FreeBusy",
    "FrontendTransport",
    "HubTransport",
    "IMAP",
    "IMAP.Protocol",
    "IMAP.Proxy",
    "MailboxMigration",
    "MailboxSpace",
    "MailboxTransport",
    "Mailflow",
    "Memory",
    "MessageTracing",
    "Monitoring",
    "MRS",
    "MSExchangeCertificateDeployment",
    "Network",
    "OAB",
    "OAB.Proxy",
    "Outlook",
    "Outlook.Protocol",
    "Outlook.Proxy",
    "OWA",
    "OWA.Protocol",
    "OWA.Protocol.Dep",
    "OWA.Proxy",
    "POP",
    "POP.Protocol",
    "POP.Proxy",
    "PowershellDataProvider",
    "PublicFolders",
    "PushNotifications.Protocol",
    "RemoteMonitoring",
    "RPS",
    "RPS.Proxy",
    "Search",
    "SiteMailbox",
    "SMTP",
    "Store",
    "Transport",
    "UM",
    "UM.CallRouter",
    "UM.Protocol",
    "UserThrottling",
]

#: Monitors beside those of the catalogue, by health set.
_MONITORS: Final = {
    "ActiveSync": "ActiveSyncCTPMonitor",
    "ActiveSync.Protocol": "ActiveSyncDeepTestMonitor ActiveSyncSelfTestMonitor",
    "ActiveSync.Proxy": "ActiveSyncProxyTestMonitor",
    "Autodiscover": "AutodiscoverCtpMonitor",
    "Autodiscover.Protocol": "AutodiscoverSelfTestMonitor",
    "Autodiscover.Proxy": "AutodiscoverProxyTestMonitor",
    "DataProtection": "ServerOneCopyMonitor ServerOneCopyInternalMonitor ServerSiteFailureMonitor",
    "ECP": "EacSelfTestMonitor EacDeepTestMonitor",
    "ECP.Proxy": "ECPProxyTestMonitor",
    "EWS": "EwsCtpMonitor",
    "EWS.Protocol": "EWSSelfTestMonitor EWSDeepTestMonitor",
    "EWS.Proxy": "EWSProxyTestMonitor",
    "MRS": "MRSServiceCrashingMonitor",
    "OAB.Proxy": "OABProxyTestMonitor",
    "Outlook.Proxy": "OutlookProxyTestMonitor",
    "OWA": "OwaCtpMonitor",
    "OWA.Protocol": "OwaSelfTestMonitor OwaDeepTestMonitor",
    "OWA.Proxy": "OWAProxyTestMonitor",
    "RPS.Proxy": "RPSProxyTestMonitor",
    "UM.CallRouter": "UMCallRouterTestMonitor",
    "UM.Protocol": "UMSelfTestMonitor",
}

_SERVICE = re.compile(
    r"(?<![A-Za-z0-9])(?:MSExchange|Microsoft Exchange )(POP3|IMAP4)( ?(?:BE|Back-?end))?(?![A-Za-z0-9])", re.IGNORECASE
)


class Names:
    """Known names, by their folded spelling."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        handled = [entry for definition in definitions for entry in definition.handles]
        pairs = [
            *((known.health_set, known.name) for known in MONITORS),
            *((health_set, name) for health_set, names in _MONITORS.items() for name in names.split()),
            *((entry.health_set, entry.monitor) for entry in handled if entry.monitor),
        ]
        sets = [*_HEALTH_SETS, *(entry.health_set for entry in handled)]
        self._health_sets = {name.lower(): name for name in reversed(sets)}
        self._monitors = {name.lower(): name for _, name in reversed(pairs)}
        self._of: dict[str, set[str]] = {}
        for health_set, name in pairs:
            self._of.setdefault(name.lower(), set()).add(health_set.lower())

    def health_set(self, name: str) -> str:
        """The known health set of that name, in its own spelling; empty when there is none."""
        return self._health_sets.get(name.lower(), "")

    def monitor(self, name: str) -> str:
        """The known monitor of that name, in its own spelling; empty when there is none."""
        return self._monitors.get(name.lower(), "")

    def of_monitor(self, name: str) -> str:
        """The health set of a known monitor; empty where it belongs to several."""
        found = self._of.get(name.lower(), set())
        return self._health_sets.get(next(iter(found)), "") if len(found) == 1 else ""

    def belongs(self, monitor: str, health_set: str) -> bool:
        """Whether a known monitor is one of a health set."""
        return health_set.lower() in self._of.get(monitor.lower(), set())


def services(text: str) -> set[str]:
    """The services of the catalogue that a text names, as Windows or as an administrator calls them."""
    found = {f"MSExchange{name.upper()}{'BE' if back else ''}" for name, back in _SERVICE.findall(text)}
    return found & SERVICES.keys()


def health_set_of_service(name: str) -> str:
    """The health set whose monitors watch a service of the catalogue: the back end's is that of its protocol."""
    protocol = "POP" if "POP" in name else "IMAP"
    return f"{protocol}.Protocol" if SERVICES[name] is Tier.BACK else protocol
