"""What a pause is about: everything, a DAG or a server."""

from collections.abc import Mapping

from daemon.domain.inventory import Inventory
from daemon.domain.ports import EVERYTHING

_DAG = "dag."


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
