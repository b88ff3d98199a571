"""What an operator may ask of the running daemon, over a local socket guarded by file permissions.

One JSON object a line in, one out. Who asked is what the kernel says of the peer, never what the peer says of itself.
"""

import asyncio
import contextlib
import json
import socket
import struct
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from daemon.config.roles import Roles
from daemon.domain.errors import OperatorError, StoreError
from daemon.operators.authorisation import Peer, refusal
from daemon.operators.client import ANSWER_WITHIN
from daemon.operators.commands import Operators
from daemon.operators.users import name_of
from daemon.runtime.threads import in_own_thread
from daemon.runtime.unix_socket import socket_address

SOCKET_MODE = 0o660  #: owner and group of the daemon
LINE_LIMIT = 64 * 1024
DEPTH_LIMIT = 8  #: levels of lists and objects; commands have two
TOO_DEEP = f"a command is nested no deeper than {DEPTH_LIMIT} levels"
LOOKED_UP_WITHIN = 20.0  #: seconds for the user database to say which groups somebody is in

_log = structlog.get_logger("exmedic.control")


class ControlSocket:
    """Serves operators on a Unix socket at `path`. Who may give which command is in `roles`; None: all of them."""

    def __init__(self, path: Path, operators: Operators, roles: Roles | None) -> None:
        self._path = path
        self._roles = roles
        self._operators = operators

    @contextlib.asynccontextmanager
    async def serving(self) -> Any:  # noqa: ANN401 - an async context manager of nothing
        """Serve until left.

        Raises:
            OperatorError: the socket cannot be made.
        """
        server = await asyncio.start_unix_server(self._serve, sock=self._listening(), limit=LINE_LIMIT)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()
            self._path.unlink(missing_ok=True)

    def _listening(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            # A socket file left by a killed daemon; the store's lock has already shown that no other daemon runs.
            self._path.unlink(missing_ok=True)
            with socket_address(self._path) as address:
                listener.bind(address)
            self._path.chmod(SOCKET_MODE)
        except OSError as error:
            listener.close()
            raise OperatorError(
                f"the control socket {self._path} cannot be made: {error.strerror}; see that its directory exists and "
                "that exmedic may write there, or name another one as `socket`"
            ) from error
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer("", _uid(writer))
        try:
            peer = Peer(await name_of(peer.uid), peer.uid)
            answer = await self._answer(peer, await asyncio.wait_for(reader.readline(), ANSWER_WITHIN))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError) as error:
            _log.warning("operator_dropped", user=peer.user, uid=peer.uid, why=str(error))
        finally:
            writer.close()

    async def _answer(self, peer: Peer, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                return {"error": "a command is one JSON object on a line"}
            if _deeper_than(DEPTH_LIMIT, request):
                return {"error": TOO_DEEP}
            _log.info("operator_command", user=peer.user, command=request.get("command"))
            refused = await self._refusal(peer, str(request.get("command")))
            if refused and not self._operators.may_end(peer.uid, request):
                _log.warning("operator_refused", user=peer.user, why=refused)
                return {"error": refused}
            return await self._operators.carry_out(peer.user, {**request, "uid": peer.uid})
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            return {"error": f"not JSON: {error}"}
        except RecursionError:
            return {"error": TOO_DEEP}
        except OperatorError as error:
            return {"error": str(error)}
        except StoreError as error:
            return {"error": f"the store did not take it: {error}"}

    async def _refusal(self, peer: Peer, name: str) -> str:
        """Why somebody may not give a command; empty if they may, or if there is no such command."""
        command = self._operators.COMMANDS.get(name)
        if command is None or command.role is None:
            return ""  # a pause waits for no user database
        asking = in_own_thread(partial(refusal, self._roles, peer, name, command.role))
        try:
            return await asyncio.wait_for(asking, LOOKED_UP_WITHIN)
        except TimeoutError:
            return f"which groups {peer.user} is in could not be found out within {LOOKED_UP_WITHIN:g} s; try again"


def _uid(writer: asyncio.StreamWriter) -> int:
    """The user at the other end, as the kernel knows it (unix(7), SO_PEERCRED: pid, uid, gid)."""
    peer = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def _deeper_than(most: int, value: object) -> bool:
    """Whether something of JSON is nested deeper than so many levels; it takes no more of the stack than one level."""
    level: list[object] = [value]
    for _ in range(most):
        level = [
            held
            for each in level
            if isinstance(each, list | dict)
            for held in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, list | dict) for each in level)
