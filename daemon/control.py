"""What an operator may ask of the running daemon, over a local socket guarded by file permissions.

One JSON object a line in, one out. Who asked is what the kernel says of the peer, never what the peer says of itself.
"""

import asyncio
import contextlib
import json
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from daemon.domain import AuditEntry, AuditKind, Commit, Incident, IncidentStatus
from daemon.errors import Conflict, OperatorError, StoreError
from daemon.inventory import Inventory
from daemon.local_socket import socket_address
from daemon.pause import PauseFile
from daemon.ports import Bus, Clock, Store

SOCKET_MODE = 0o660  #: owner and group of the daemon
LINE_LIMIT = 64 * 1024
ANSWER_WITHIN = 60.0  #: seconds; a pause waits for sends that have begun

_log = structlog.get_logger("exmedic.control")

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Carries out operators' commands. `wake` tells the runner and the outbox that there is something to do."""

    store: Store
    bus: Bus
    clock: Clock
    inventory: Inventory
    pause_file: PauseFile
    wake: Callable[[], None]

    async def carry_out(self, user: str, request: Request) -> dict[str, Any]:
        """Carry out one command for a user.

        Raises:
            OperatorError: it cannot be carried out.
        """
        commands: Mapping[str, Callable[[str, Request], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "pause": self._pause,
            "resume": self._resume,
            "release": self._release,
            "close": self._close,
        }
        command = commands.get(str(request.get("command")))
        if command is None:
            raise OperatorError(f"unknown command {request.get('command')!r}; known: {', '.join(commands)}")
        answer = await command(user, request)
        self.wake()
        return answer

    async def _status(self, _user: str, _request: Request) -> dict[str, Any]:
        ledger = await self.store.ledger()
        return {
            "bus": "connected" if self.bus.connected else "not connected",
            "paused": self.pause_file.reason(),
            "alerts": dict(ledger.alerts),
            "incidents": dict(ledger.incidents),
            "imbalance": ledger.imbalance,
            "quarantined": [quarantine.server for quarantine in await self.store.quarantines()],
        }

    async def _pause(self, user: str, request: Request) -> dict[str, Any]:
        reason = f"by {user}: {request.get('reason') or 'no reason given'}"
        try:
            # The file first: should the record fail, the pause stands.
            await asyncio.to_thread(self.pause_file.pause, reason)
        except OSError as error:
            raise OperatorError(f"the pause file {self.pause_file.path} cannot be written: {error.strerror}") from error
        await self._record(AuditKind.PAUSED, f"paused {reason}", user)
        return {"paused": reason}

    async def _resume(self, user: str, _request: Request) -> dict[str, Any]:
        # The record first: should it fail, nothing is resumed.
        if self.pause_file.reason() is None:
            raise OperatorError("exmedic is not paused")
        await self._record(AuditKind.RESUMED, f"resumed by {user}", user)
        try:
            self.pause_file.resume()
        except OSError as error:
            raise OperatorError(f"the pause file {self.pause_file.path} cannot be removed: {error.strerror}") from error
        return {"paused": self.pause_file.reason()}

    async def _release(self, user: str, request: Request) -> dict[str, Any]:
        name = str(request.get("server", ""))
        server = self.inventory.find(name)
        quarantine = await self.store.quarantine(server.name if server else name.lower())
        if quarantine is None:
            held = ", ".join(quarantine.server for quarantine in await self.store.quarantines()) or "none"
            raise OperatorError(f"{name} is not quarantined; quarantined servers: {held}")
        now = self.clock.now()
        entry = AuditEntry(
            kind=AuditKind.QUARANTINE_LIFTED,
            at=now,
            message=f"{quarantine.server} released by {user}",
            incident_id=quarantine.incident_id,
            server=quarantine.server,
            fields={"user": user, "step": quarantine.step_id},
        )
        await self.store.commit(Commit(at=now, lift=quarantine.server, audit=(entry,)))
        return {"released": quarantine.server}

    async def _close(self, user: str, request: Request) -> dict[str, Any]:
        incident_id = str(request.get("incident", ""))
        while True:
            incident = await self.store.incident(incident_id)
            if incident is None:
                raise OperatorError(f"there is no incident {incident_id}; `exmedic incidents` lists them")
            try:
                return await self._closed(incident, user)
            except Conflict:
                # It moved on while we looked; look again.
                continue

    async def _closed(self, incident: Incident, user: str) -> dict[str, Any]:
        now = self.clock.now()
        if incident.status is IncidentStatus.OPEN:
            fresh = replace(incident, close_by=user, due_at=now)
            await self.store.commit(Commit(at=now, incident=fresh))
            return {"closing": incident.id, "note": "what it changed is put back first"}
        if not incident.latched:
            raise OperatorError(f"incident {incident.id} is already {incident.status.value}")
        fresh = replace(incident, latched=False, due_at=None)
        entry = AuditEntry(
            kind=AuditKind.LATCH_LIFTED,
            at=now,
            message=f"closed by {user}; the next alert opens a new incident",
            incident_id=incident.id,
            server=incident.server,
            health_set=incident.health_set,
            monitor=incident.monitor,
            fields={"user": user},
        )
        await self.store.commit(Commit(at=now, incident=fresh, audit=(entry,)))
        return {"closed": incident.id}

    async def _record(self, kind: AuditKind, message: str, user: str) -> None:
        now = self.clock.now()
        await self.store.commit(
            Commit(at=now, audit=(AuditEntry(kind=kind, at=now, message=message, fields={"user": user}),))
        )


class ControlSocket:
    """Serves operators on a Unix socket at `path`."""

    def __init__(self, path: Path, operators: Operators) -> None:
        self._path = path
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
        user = _peer(writer)
        try:
            answer = await self._answer(user, await asyncio.wait_for(reader.readline(), ANSWER_WITHIN))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError) as error:
            _log.warning("operator's connection dropped", user=user, why=str(error))
        finally:
            writer.close()

    async def _answer(self, user: str, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                return {"error": "a command is one JSON object on a line"}
            _log.info("operator's command", user=user, command=request.get("command"))
            return await self._operators.carry_out(user, request)
        except json.JSONDecodeError as error:
            return {"error": f"not JSON: {error}"}
        except OperatorError as error:
            return {"error": str(error)}
        except StoreError as error:
            return {"error": f"the store did not take it: {error}"}


def _peer(writer: asyncio.StreamWriter) -> str:
    """The name of the user at the other end, as the kernel knows it (unix(7), SO_PEERCRED: pid, uid, gid)."""
    peer = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def ask(path: Path, request: Request) -> dict[str, Any]:
    """Send one command to the daemon that listens at `path`, and wait for its answer.

    Raises:
        ConnectionError, FileNotFoundError: no daemon listens there.
        PermissionError: it may not be asked by this user.
        OperatorError: it said no.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_WITHIN)
        with socket_address(path) as address:
            client.connect(address)
        client.sendall(json.dumps(dict(request)).encode() + b"\n")
        with client.makefile("rb") as lines:
            answer = json.loads(lines.readline() or b'{"error": "the daemon gave no answer"}')
    if not isinstance(answer, dict) or "error" in answer:
        raise OperatorError(str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer))
    return answer
