"""What a pause is about (everything, a DAG or a server), and whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from daemon.domain.inventory import Inventory

#: The scope of a pause of everything. The others are the name of a server in the inventory, and `dag.NAME`.
EVERYTHING = ""

#: What the ends of pauses go by, in a lab whose clock runs fast as well: files of commands know no other.
SYSTEM_TIME = partial(datetime.now, UTC)

_DAG = "dag."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a pause is ordered. Whoever pauses by hand, or over the bus, orders none of it."""

    id: str = ""  #: of the order, eight hex digits: who orders it chose them; empty: of no particular one
    uid: int | None = None  #: the user of this machine who ordered it, and may end it
    until: datetime | None = None  #: when it ends by itself


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One pause that stands, or whose time is over and that was not taken away yet."""

    scope: str
    why: str
    entry: str  #: what it is called on the disk
    terms: Terms = NO_TERMS
    since: datetime | None = None
    over: bool = False  #: its time is over: it pauses nothing any more
    ordered: bool = False  #: the daemon knows it as ordered: taking a file away does not end it
    kept: bool = False  #: so will the next daemon

    @property
    def by_hand(self) -> bool:
        """Made by whoever put a file there, by no command."""
        return not self.terms.id


def scope_of(inventory: Inventory, server: str, dag: str) -> str | None:
    """What a pause of a server or a DAG is called, or of everything when both are empty; None: neither is known."""
    if dag:
        known = [each.dag for each in inventory if each.dag and each.dag.lower() == dag.strip().lower()]
        return f"{_DAG}{known[0]}" if known and not server else None
    found = inventory.find(server)
    return EVERYTHING if not server else found.name if found else None


def covered(inventory: Inventory, scope: str) -> frozenset[str]:
    """The names of the servers that a scope is about; none: it names nothing that the inventory knows."""
    found = inventory.find(scope)
    dag = scope[len(_DAG) :].lower() if scope.lower().startswith(_DAG) else None
    # A server may be called dag.contoso.com: then both are meant.
    return frozenset(
        each.name for each in inventory if each == found or (dag and each.dag is not None and each.dag.lower() == dag)
    )


def reason_for(standing: Mapping[str, str], inventory: Inventory, server: str) -> str | None:
    """Why no effect may start on a server, by all the pauses that stand; None when it may."""
    if EVERYTHING in standing:
        return standing[EVERYTHING]
    if not server:
        return None
    return next((f"{scope} {why}" for scope, why in standing.items() if server in covered(inventory, scope)), None)
