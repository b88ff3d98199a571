"""A notifier in memory."""

from daemon.domain.commits import PageKind
from daemon.domain.errors import NotifyFailed


class MemoryNotifier:
    """`ports.Notifier` that keeps what it accepted in `sent` and `kinds`. Titles in `refused` are never accepted."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.kinds: list[PageKind] = []
        self.refused: set[str] = set()
        self.attempts = 0

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        """See `ports.Notifier.notify`."""
        self.attempts += 1
        if title in self.refused:
            raise NotifyFailed("no channel accepted the message")
        self.sent.append((title, body))
        self.kinds.append(kind)
