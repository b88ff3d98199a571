"""The servers that may be contacted, and nothing else may be: names, roles, DAGs, sites, endpoints, credentials."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a server does. A multi-role server has both."""

    CLIENT_ACCESS = "client_access"
    MAILBOX = "mailbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of the inventory. `name` is its FQDN in lower case."""

    name: str
    roles: frozenset[Role]
    dag: str | None
    site: str
    endpoint: str  #: http(s)://host:port/wsman
    credential: str
    tags: frozenset[str]

    @property
    def short_name(self) -> str:
        """The name without its domain."""
        return self.name.partition(".")[0]


class Inventory:
    """All servers, found by FQDN or unambiguous short name, without regard to case."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.servers = servers
        self._by_name = {server.name: server for server in servers}

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def find(self, name: str) -> Server | None:
        """The server of that FQDN or short name; None when there is none, or the short name fits several."""
        folded = name.strip().lower()
        if folded in self._by_name:
            return self._by_name[folded]
        fits = [server for server in self.servers if server.short_name == folded]
        return fits[0] if len(fits) == 1 else None

    def peers(self, server: Server) -> tuple[Server, ...]:
        """The other servers, those of the same site first: who may answer for `server`."""
        others = [other for other in self.servers if other.name != server.name]
        return tuple(sorted(others, key=lambda other: (other.site != server.site, other.name)))
