"""What `organisation` answers: everything that an organisation lists. Part of the contract in `answers`."""

from daemon.exchange.answers import Answer


class ListedServer(Answer):
    """A server as Get-ExchangeServer lists it. `site` is empty for one that is in none, as an Edge server."""

    name: str
    fqdn: str
    roles: str = ""  #: ServerRole as text
    mailbox_role: bool
    client_access_role: bool
    edge_role: bool
    version: str
    site: str


class ListedMailboxServer(Answer):
    """A server as Get-MailboxServer lists it. `dag` is empty for one in none."""

    name: str
    dag: str


class ListedDag(Answer):
    """A DAG as Get-DatabaseAvailabilityGroup lists it; its members by short name."""

    name: str
    members: tuple[str, ...]


class Organisation(Answer):
    """Everything that the three cmdlets list, without an identity, and their warnings."""

    servers: tuple[ListedServer, ...]
    mailbox_servers: tuple[ListedMailboxServer, ...]
    dags: tuple[ListedDag, ...]
    warnings: tuple[str, ...]
