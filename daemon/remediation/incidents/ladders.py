"""The compiled runbooks: those on disk now, for new incidents, and those that open incidents are pinned to."""

from collections.abc import Sequence

from daemon.domain.errors import StoreError
from daemon.domain.incidents import Incident, StoredRunbook
from daemon.domain.inventory import Server
from daemon.domain.store import IncidentStore
from statemachines.compiler import Ladder
from statemachines.model import Definition


class Ladders:
    """Finds the ladder of a monitor, and the ladder of an incident."""

    def __init__(self, definitions: Sequence[Definition], store: IncidentStore) -> None:
        self._store = store
        self._by_hash = dict(map(_compiled, definitions))
        self._current = tuple(self._by_hash.values())

    def handling(self, server: Server, health_set: str, monitor: str) -> Ladder | None:
        """The ladder that handles a monitor on such a server; None when none does."""
        for ladder in self._current:
            if serves(ladder.definition, server, health_set, monitor):
                return ladder
        return None

    async def of(self, incident: Incident) -> Ladder:
        """The ladder an incident is pinned to: the very definition it began with, whatever is on disk now.

        Raises:
            StoreError: the store has lost it.
        """
        ladder = self._by_hash.get(incident.runbook_hash)
        if ladder is None:
            stored = await self._store.runbook(incident.runbook_hash)
            if stored is None:
                raise StoreError(f"incident {incident.id}: its runbook {incident.runbook_hash} is not in the store")
            ladder = Ladder(Definition.model_validate_json(stored.text))
            self._by_hash[incident.runbook_hash] = ladder
        return ladder


def serves(definition: Definition, server: Server, health_set: str, monitor: str) -> bool:
    """Whether a runbook handles a monitor on such a server."""
    entry = definition.handled(health_set, monitor)
    return entry is not None and (entry.role is None or entry.role in server.roles)


_LADDERS: dict[str, Ladder] = {}


def _compiled(definition: Definition) -> tuple[str, Ladder]:
    """With its hash. A ladder keeps nothing of the incidents that use it, so one is enough for the process."""
    its_hash = definition.hash  # computed each time it is asked for
    if its_hash not in _LADDERS:
        _LADDERS[its_hash] = Ladder(definition)
    return its_hash, _LADDERS[its_hash]


def stored(ladder: Ladder) -> StoredRunbook:
    """A ladder's definition as the store keeps it."""
    definition = ladder.definition
    return StoredRunbook(hash=definition.hash, name=definition.runbook, text=definition.text)
