"""Steering a lab from another process: a unix socket in its directory, one JSON object a line each way."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.domain.errors import OperatorError
from daemon.runtime.unix_socket import socket_address

SOCKET_NAME = "lab.sock"
_LINE_LIMIT = 1 << 20  # bytes
_TIMEOUT = 10.0  # real seconds for one command

Obey = Callable[[dict[str, object]], dict[str, object]]


def lab_command(directory: Path, command: Mapping[str, object]) -> dict[str, object]:
    """Send one command to the lab that runs in a directory; the fields of its answer.

    Raises:
        OperatorError: no lab runs there, or it refused the command, or it did not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            with socket_address(directory / SOCKET_NAME) as address:
                connection.connect(address)
            connection.sendall(json.dumps(dict(command)).encode() + b"\n")
            with connection.makefile("rb") as reader:
                line = reader.readline()
        except OSError as error:
            raise OperatorError(f"No lab answers in {directory} ({error}). Start one with `exmedic lab`.") from error
    if not line.endswith(b"\n"):
        raise OperatorError(f"The lab in {directory} went away before it answered. Start it again with `exmedic lab`.")
    answer: dict[str, object] = json.loads(line)
    if not answer.pop("ok"):
        raise OperatorError(str(answer["error"]))
    return answer


class ControlSocket:
    """The lab's end of it. Only the user who started the lab can connect."""

    def __init__(self, directory: Path, obey: Obey) -> None:
        self._directory = directory
        self._obey = obey
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen.

        Raises:
            OperatorError: another lab listens in this directory.
        """
        self._remove_stale()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(self._directory / SOCKET_NAME) as address:
                listener.bind(address)
            (self._directory / SOCKET_NAME).chmod(0o600)
            listener.listen(8)
        except OSError as error:
            listener.close()
            raise OperatorError(f"The lab cannot listen on {self._directory / SOCKET_NAME}: {error}.") from error
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="lab-control")
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Not to be called from within a command."""
        if self._listener is None or self._thread is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        self._listener = None

    def _remove_stale(self) -> None:
        """Remove the socket of a lab that was killed; refuse if a lab still listens on it."""
        if not (self._directory / SOCKET_NAME).exists():
            return
        path = self._directory / SOCKET_NAME
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, socket_address(path) as address:
            try:
                probe.connect(address)
            except OSError:
                (self._directory / SOCKET_NAME).unlink(missing_ok=True)
                return
        raise OperatorError(f"A lab already runs in {self._directory}. Stop it, or choose another directory.")

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_TIMEOUT)
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        """Answer the commands of one client, one after the other."""
        with connection.makefile("rb") as reader:
            while line := reader.readline(_LINE_LIMIT):
                connection.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            return {"ok": True, **self._obey(_object(line))}
        except (OperatorError, ValueError) as error:
            return {"ok": False, "error": str(error)}


def _object(line: bytes) -> dict[str, object]:
    command = json.loads(line)
    if not isinstance(command, dict):
        raise OperatorError("A command is a JSON object.")
    return command
