"""An audit sink in memory, which also watches that every field would survive in a journal."""

from daemon.audit.journal_fields import misnamed_fields
from daemon.domain.audit import AuditRow
from daemon.domain.errors import SinkDown


class MemorySink:
    """`ports.AuditSink` that keeps what it took in `rows`. `down` makes it refuse."""

    def __init__(self) -> None:
        self.rows: list[AuditRow] = []
        self.down = False
        self.refusals = 0

    async def emit(self, row: AuditRow) -> None:
        """Keep a row; an AssertionError when the journal would have dropped or hidden one of its fields."""
        if self.down:
            self.refusals += 1
            raise SinkDown("the memory sink is down")
        wrong = misnamed_fields(row.entry)
        assert not wrong, f"fields of audit row {row.seq} that a journal cannot show as they are: {wrong}"  # noqa: S101 - a fake exists to fail tests
        self.rows.append(row)
