"""What the shipped scripts do, for those who must allow them: one line each."""

from dataclasses import dataclass

from daemon.exchange.launch import NAMES, ON_THEIR_OWN, load

READ, SETS, DISRUPTS = "reads", "sets a value", "disrupts"
ITSELF, PEER, ANY = "the server itself", "another server", "any server"

_ABOUT: dict[str, tuple[str, str, str]] = {
    "server_health": (READ, PEER, "the monitors of health sets: Get-ServerHealth"),
    "invoke_probe": (READ, PEER, "runs a probe of Managed Availability once: Invoke-MonitoringProbe"),
    "database_copies": (READ, PEER, "database copies, and which servers of the DAG may activate them"),
    "set_activation": (SETS, PEER, "forbids or allows database copies to become active: Set-MailboxServer"),
    "server_state": (READ, ITSELF, "boot time, services, who is logged on, whether a reboot is pending"),
    "restart_service": (DISRUPTS, ITSELF, "stops and starts a service, and those that depend on it"),
    "reboot": (DISRUPTS, PEER, "restarts a server after a last look for active database copies"),
    "step_running": (READ, ANY, "whether an earlier script of exmedic still runs"),
    "exchange_server": (READ, PEER, "roles, version, site and component states"),
    "dag_health": (READ, PEER, "the DAG, its members, its cluster's nodes, Test-ReplicationHealth"),
    "recovery_log": (READ, ITSELF, "what Managed Availability did: its event log"),
    "pop_settings": (READ, PEER, "whether the POP protocol log is on, and where: Get-PopSettings"),
    "set_protocol_log": (SETS, PEER, "turns the POP protocol log on or off: Set-PopSettings"),
    "protocol_log": (READ, ITSELF, "lines of the POP protocol log of the monitoring mailboxes"),
    "organisation": (READ, ANY, "all servers, Mailbox servers and DAGs there are"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A shipped script. `sha256` of the UTF-8 of exactly the text that runs as a script block."""

    name: str
    does: str
    effect: str
    runs_on: str
    session: bool  #: it opens a Microsoft.Exchange session
    sha256: str


def catalogue() -> tuple[Entry, ...]:
    """Every shipped script, in the order of their names."""
    return tuple(_entry(name) for name in sorted(NAMES))


def _entry(name: str) -> Entry:
    effect, runs_on, does = _ABOUT[name]
    return Entry(
        name=name,
        does=does,
        effect=effect,
        runs_on=runs_on,
        session=name not in ON_THEIR_OWN,
        sha256=load(name).sha256,
    )
