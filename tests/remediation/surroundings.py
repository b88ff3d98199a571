"""What the world's servers answer about roles, components, DAG and Managed Availability: all well at first."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daemon.domain.values import timestamp


@dataclass
class Surroundings:
    """One server's. Tests change what they are about."""

    name: str
    mailbox: bool
    client_access: bool
    dag: tuple[str, ...] = ()  # the names of all members
    site: str = "Lyon"
    version: str = "Version 15.0 (Build 1497.2)"
    components: dict[str, tuple[str, str]] = field(default_factory=dict)  # component: state, requester
    operational: bool = True
    in_maintenance: bool = False
    node: str = "Up"
    witness: bool = False
    failed_checks: tuple[str, ...] = ()
    recovery: list[tuple[str, datetime, datetime | None]] = field(default_factory=list)  # action, started, ended

    def exchange_server(self) -> dict[str, Any]:
        """As Get-ExchangeServer and Get-ServerComponentState say it."""
        names = ["ServerWideOffline", *(["HubTransport"] if self.mailbox else []), "PopProxy"]
        components = []
        for name in names:
            state, requester = self.components.get(name, ("Active", ""))
            requests = [{"requester": requester, "state": state}] if requester else []
            components.append({"name": name, "state": state, "requests": requests})
        return {
            "server": self.name.partition(".")[0].upper(),
            "mailbox_role": self.mailbox,
            "client_access_role": self.client_access,
            "version": self.version,
            "site": self.site,
            "components": components,
        }

    def dag_health(self, members: list["Surroundings"]) -> dict[str, Any]:
        """As Get-DatabaseAvailabilityGroup, Get-ClusterNode and Test-ReplicationHealth say it."""
        if not self.dag:
            return {"server": self.name, "dag": None}
        return {
            "server": self.name,
            "dag": "DAG1",
            "members": [
                {
                    "server": member.name,
                    "operational": member.operational,
                    "in_maintenance": member.in_maintenance,
                    "node_state": member.node,
                }
                for member in members
            ],
            "witness_counts": self.witness,
            "replication": [
                {"server": self.name, "check": check, "passed": check not in self.failed_checks}
                for check in ("ClusterService", "ReplayService", "QuorumGroup")
            ],
        }

    def recovery_log(self) -> dict[str, Any]:
        """As Managed Availability's event log says it."""
        return {
            "actions": [
                {
                    "action": action,
                    "resource": "MSExchangePOP3BE",
                    "started": timestamp(started),
                    "ended": None if ended is None else timestamp(ended),
                }
                for action, started, ended in self.recovery
            ]
        }
