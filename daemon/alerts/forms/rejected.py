"""A payload that cannot be understood, and how texts from outside are shown."""

from typing import Final

from daemon.domain.errors import ExmedicError
from daemon.exchange.struck import struck_out

MAX_TEXT: Final = 500  #: characters of a summary or a reason; the payload itself is stored beside it


class Rejected(ExmedicError):  # noqa: N818 - it is the ledger's word
    """A payload that cannot be understood; the message says where and why, without control characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))


def printable(text: str) -> str:
    """One line without control characters and passwords: it is shown on terminals, goes to the journal and the bus."""
    told = struck_out(text[: 2 * MAX_TEXT])  # while line ends show where a password ends
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in told).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
