"""Commands that go to the running daemon over its socket, in the name of who gives them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.domain.errors import OperatorError
from daemon.operators.client import ANSWER_WITHIN, ask


class NotRunningError(OperatorError):
    """No daemon answers."""


def asked(path: Path, request: Mapping[str, Any], within: float = ANSWER_WITHIN) -> dict[str, Any]:
    """Give the daemon that listens at `path` a command.

    Raises:
        NotRunningError: none listens there.
        OperatorError: it said no, or whether it did it is not known.
    """
    try:
        return ask(path, request, within)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(f"no daemon listens at {path}; is it running?") from error
    except PermissionError as error:
        raise OperatorError(f"you may not use {path}: join the daemon's group, or use sudo") from error
