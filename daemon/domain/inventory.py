"""The servers that may be contacted, and what an incident claims of them."""

import hashlib
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
    outside: str | None = None  #: pop3://host:port or pop3s://host:port, for a look as a POP3 client
    outside_login: str | None = None  #: the credential of a test mailbox
    outside_database: str | None = None  #: the database that holds the test mailbox

    @property
    def short_name(self) -> str:
        """The name without its domain."""
        return self.name.partition(".")[0]


class Inventory:
    """All servers, found by FQDN or unambiguous short name, without regard to case."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.servers = servers
        self._by_name = {server.name: server for server in servers}
        self._by_short_name: dict[str, tuple[Server, ...]] = {}
        for server in servers:
            self._by_short_name[server.short_name] = (*self._by_short_name.get(server.short_name, ()), server)

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def find(self, name: str) -> Server | None:
        """The server of that FQDN or short name; None when there is none, or the short name fits several."""
        meant = self.named(name)
        return meant[0] if len(meant) == 1 else None

    def in_full(self, name: str) -> Server | None:
        """The server of that FQDN."""
        return self._by_name.get(name.strip().lower())

    def short(self, name: str) -> tuple[Server, ...]:
        """All servers of that short name, which may be several."""
        return self._by_short_name.get(name.strip().lower(), ())

    def named(self, name: str) -> tuple[Server, ...]:
        """All servers that a name may mean: the one of that FQDN, or else those of that short name."""
        server = self.in_full(name)
        return self.short(name) if server is None else (server,)

    def peers(self, server: Server) -> tuple[Server, ...]:
        """The other servers, the best first: who may answer for `server`. Always the same for one server.

        Mailbox servers of its DAG, other members, Mailbox servers; of each those of its site first. Which one of equals
        comes first depends on `server`, so that not all of a site is asked through one of its servers.
        """
        others = [other for other in self.servers if other.name != server.name]
        return tuple(sorted(others, key=lambda other: (*_distance(server, other), _lot(server, other))))


def _distance(server: Server, other: Server) -> tuple[bool, bool, bool]:
    member = server.dag is not None and other.dag is not None and server.dag.lower() == other.dag.lower()
    return not member, Role.MAILBOX not in other.roles, other.site != server.site


def _lot(server: Server, other: Server) -> bytes:
    return hashlib.sha256(f"{server.name} {other.name}".encode()).digest()


def scopes(server: Server, *, dag_wide: bool) -> tuple[str, ...]:
    """The scopes of an effect on a server. `dag_wide`: it takes the server away from its DAG or its site."""
    if not dag_wide:
        return (server.name,)
    dag = (f"dag:{server.dag.lower()}",) if server.dag else ()
    # One of its Client Access servers at a time keeps a site served, those that are in a DAG included.
    site = (f"site:{server.site.lower()}",) if not dag or Role.CLIENT_ACCESS in server.roles else ()
    return (server.name, *dag, *site)


def share(one: Server, other: Server) -> bool:
    """Whether two servers must not be taken away at the same time."""
    return bool(set(scopes(one, dag_wide=True)) & set(scopes(other, dag_wide=True)))
