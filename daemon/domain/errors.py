"""The errors of the daemon. Each message says what happened, to which server or file, and what to do next.

ExmedicError
├── ConfigError        one or more mistakes in files the administrator wrote
├── StoreError         the database cannot be trusted or used
│   └── Conflict       a commit that would break an invariant; somebody else was first
├── BusDown            the broker is not reachable now; retried by the caller
├── NotifyFailed       a notification channel refused or could not be reached; retried by the caller
├── SinkDown           the journal is not reachable now; retried by the caller
└── OperatorError      a command an operator gave cannot be carried out
"""

from statemachines.mistake import Mistake

__all__ = [
    "BusDown",
    "ConfigError",
    "Conflict",
    "ExmedicError",
    "Mistake",
    "NotifyFailed",
    "OperatorError",
    "SinkDown",
    "StoreError",
]


class ExmedicError(Exception):
    """Base of everything exmedic raises on purpose."""


class ConfigError(ExmedicError):
    """Mistakes in configuration, inventory or runbooks; all of them at once."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class StoreError(ExmedicError):
    """The store cannot be opened, is damaged, or belongs to a newer exmedic."""


class Conflict(StoreError):  # noqa: N818 - it is the field's word, and callers read `except Conflict`
    """A commit was refused because it would break an invariant; nothing of it was written."""


class BusDown(ExmedicError):  # noqa: N818 - a state of the bus, not a fault of ours
    """The broker is not reachable at the moment."""


class NotifyFailed(ExmedicError):  # noqa: N818 - reads as what happened
    """A notification was not accepted by any channel."""


class SinkDown(ExmedicError):  # noqa: N818 - a state of the journal, not a fault of ours
    """The journal is not reachable at the moment."""


class OperatorError(ExmedicError):
    """An operator's command cannot be carried out; the message says why and what would work."""
