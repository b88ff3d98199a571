"""The durable store on SQLite (https://sqlite.org/wal.html), one file on a local disk.

Its parts are those of the port. Statements are in queries.sql, the schema in migrations/.
"""

from pathlib import Path

from daemon.adapters.sqlite import writes
from daemon.adapters.sqlite.alerts import Alerts
from daemon.adapters.sqlite.guardrails import Guardrails
from daemon.adapters.sqlite.incidents import Incidents
from daemon.adapters.sqlite.outbox import Outbox
from daemon.adapters.sqlite.trail import Trail
from daemon.domain import store_rules
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident


class SqliteStore(Alerts, Incidents, Guardrails, Outbox, Trail):
    """`Store` in the file `path`, in a directory that exists.

    `read_only` opens it beside a running daemon, or after one that died, without its lock and without changing it:
    for commands that show something. Rejected messages are sent to `deadletter_topic`.
    """

    def __init__(self, path: Path, *, read_only: bool = False, deadletter_topic: str = "exmedic/deadletter") -> None:
        super().__init__(path, read_only=read_only)
        self._deadletter_topic = deadletter_topic

    async def commit(self, commit: Commit) -> Incident | None:
        """See `Commits.commit`. An incident that ends gives its claims back in the same commit."""
        work = store_rules.storable(commit)
        return await self._with(lambda connection: writes.commit(connection, work))
