"""The other end of the control socket: how a command asks the running daemon."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.domain.errors import OperatorError
from daemon.runtime.unix_socket import socket_address

ANSWER_WITHIN = 60.0  #: seconds; a pause waits for sends that have begun
ANSWER_LIMIT = 8 << 20  #: bytes; a status of some hundred servers has some ten thousand


def ask(path: Path, request: Mapping[str, Any], within: float = ANSWER_WITHIN) -> dict[str, Any]:
    """Send one command to the daemon that listens at `path`, and wait so many seconds for its answer.

    Raises:
        ConnectionRefusedError, FileNotFoundError: no daemon listens there.
        PermissionError: it may not be asked by this user.
        OperatorError: it said no; or it gave no answer, so that nobody knows whether it did what was asked.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(within)
        try:
            with socket_address(path) as address:
                client.connect(address)
        except (TimeoutError, BlockingIOError) as error:  # as many as the kernel lets wait there do so already
            raise OperatorError(f"the daemon at {path} takes no commands: it hangs; see its log") from error
        answer = _conversed(client, path, request)
    if "error" in answer:
        raise OperatorError(str(answer["error"]))
    return answer


def _conversed(client: socket.socket, path: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        client.sendall(json.dumps(dict(request)).encode() + b"\n")
        with client.makefile("rb") as lines:
            answer = json.loads(lines.readline(ANSWER_LIMIT))
        if isinstance(answer, dict):
            return answer
        why = "its answer is no JSON object"
    except (OSError, ValueError, RecursionError) as error:
        why = str(error)
    raise OperatorError(
        f"the daemon at {path} did not answer ({why}), so whether it did what you asked is not known; "
        "see `exmedic status` and its log"
    )
