"""Rule 10: after a pause has returned, nothing starts on what it is about."""

from daemon.domain.inventory import Inventory


class Pauses:
    """What is paused, by the orders that were carried out. A scope is empty, a server's name, or `dag.NAME`."""

    def __init__(self) -> None:
        self._scopes: set[str] = set()

    def note(self, scope: str, *, now: bool) -> None:
        """A pause has returned, or is over."""
        (self._scopes.add if now else self._scopes.discard)(scope)

    def forbid(self, inventory: Inventory, name: str) -> str | None:
        """The pause that a server is under; None when there is none."""
        server = inventory.find(name)
        its = {"", name, f"dag.{server.dag}" if server else ""}
        return next((scope or "everything" for scope in sorted(self._scopes) if scope in its), None)
