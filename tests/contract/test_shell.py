"""What every Shell promises: the one for tests, and the one over pywinrm against a real WinRM endpoint."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from daemon.adapters.winrm.shell import WinrmShell
from daemon.config.settings import Credential, Secret, WinrmSettings
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import Call, ReplyKind, Shell
from daemon.domain.values import Json
from daemon.exchange.logons import Logons
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.testing.clock import ManualClock
from daemon.testing.scripted_shell import Answer, Failed, Lost, Ok, ScriptedShell, Silent, Unreachable
from tests.realparts.waiting import HANG

SERVER = "mbx1.contoso.lab"
SERVICE = "MSExchangePOP3BE"
LATER = "2099-01-01T00:00:00+00:00"
EARLIER = "2001-01-01T00:00:00+00:00"


class Rig(Protocol):
    """A shell, and the ways to spoil the server behind it. `effects` counts the restarts that happened there."""

    shell: Shell

    def effects(self) -> int: ...
    def refuse_connections(self) -> None: ...
    def never_answer(self) -> None: ...
    def hang_in_the_script(self) -> None: ...
    def lose_answers(self, script: str) -> None: ...
    def lose_one_answer(self, script: str) -> None: ...


class ScriptedRig:
    """The scripted shell, told to behave as a server would."""

    def __init__(self) -> None:
        self._restarts = 0
        self.scripted = ScriptedShell(ManualClock())
        self.shell: Shell = self.scripted
        self.scripted.always(SERVER, "server_state", Ok({"boot_time": "2026-01-01T00:00:00+00:00", "services": []}))
        self.scripted.always(SERVER, "restart_service", self._restart)

    def _restart(self, call: Call) -> Answer:
        if call.args["not_after"] == EARLIER:
            return Failed("expired")
        self._restarts += 1
        return Ok({"service": {"name": SERVICE}})

    def _lost(self, call: Call) -> Answer:
        if call.script == "restart_service":
            self._restarts += 1
        return Lost()

    def _everything(self, answer: Answer) -> None:
        for script in ("server_state", "restart_service"):
            self.scripted.always(SERVER, script, answer)

    def effects(self) -> int:
        return self._restarts

    def refuse_connections(self) -> None:
        self._everything(Unreachable())

    def never_answer(self) -> None:
        self._everything(Silent())

    def hang_in_the_script(self) -> None:
        self._everything(Silent(sent=True))

    def lose_answers(self, script: str) -> None:
        self.scripted.always(SERVER, script, self._lost)

    def lose_one_answer(self, script: str) -> None:
        self.scripted.queue(SERVER, script, Ok({"services": []}))  # the retry inside the port, as its caller sees it


class WinrmRig:
    """pywinrm over real HTTP with NTLM, to the lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.shell: Shell = self._shell(lab.endpoints[SERVER])

    def _shell(self, endpoint: str) -> WinrmShell:
        server = Server(
            name=SERVER,
            roles=frozenset({Role.MAILBOX}),
            dag="DAG1",
            site="Lyon",
            endpoint=endpoint,
            credential="lab",
            tags=frozenset(),
        )
        credential = Credential(username=self._lab.username, password=Secret(file=Path("password")))
        settings = WinrmSettings(connect_timeout=HANG, threads=2)
        logons = Logons(self._lab.clock.now)
        return WinrmShell(Inventory((server,)), settings, {"lab": credential}, lambda _: self._lab.password, logons)

    def effects(self) -> int:
        return sum(effect.effect == "restart" for effect in self._lab.effects())

    def refuse_connections(self) -> None:
        self.shell = self._shell("http://127.0.0.1:1/wsman")

    def never_answer(self) -> None:
        self._lab.break_server(SERVER, Fault.SILENT_ENDPOINT)

    def hang_in_the_script(self) -> None:
        self._lab.break_server(SERVER, Fault.SERVICE_HANGS)

    def lose_answers(self, script: str) -> None:
        self._lab.break_server(SERVER, Fault.ANSWER_LOST, script=script)

    def lose_one_answer(self, script: str) -> None:
        self._lab.break_server(SERVER, Fault.ANSWER_LOST, script=script, count=1)


@contextmanager
def _scripted(_: Path) -> Iterator[Rig]:
    yield ScriptedRig()


@contextmanager
def _winrm(folder: Path) -> Iterator[Rig]:
    with Lab(folder, LabClock.starting_now(300)) as lab:
        yield WinrmRig(lab)
        assert not [effect for effect in lab.effects() if effect.effect == "violation"]
        assert lab.open_shells(SERVER) == 0, "a shell was leaked"


@pytest.fixture(params=[_scripted, _winrm], ids=["scripted", "winrm"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    make: Callable[[Path], AbstractContextManager[Rig]] = request.param
    with make(tmp_path) as rig:
        yield rig


@pytest.fixture
async def rig(made: Rig) -> AsyncIterator[Rig]:
    """A rig whose shell is closed before its server goes away."""
    yield made
    await made.shell.close()


def restart(timeout: float = HANG, not_after: str = LATER, stop_timeout: int = 90) -> Call:
    args: Json = {"service": SERVICE, "stop_timeout": stop_timeout, "not_after": not_after}
    return Call(executor=SERVER, script="restart_service", args=args, step_id="i1.1", timeout=timeout, read_only=False)


def state(timeout: float = HANG) -> Call:
    args: Json = {"services": [SERVICE]}
    return Call(executor=SERVER, script="server_state", args=args, step_id="i1.1", timeout=timeout, read_only=True)


class Gate:
    """A permit that remembers being entered."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.entered = 0
        self.inside = 0

    @contextmanager
    def __call__(self) -> Iterator[bool]:
        self.entered += 1
        self.inside += 1
        try:
            yield self.answer
        finally:
            self.inside -= 1


async def test_a_script_that_did_its_work_is_ok_and_tells_the_server_and_its_clock(rig: Rig) -> None:
    reply = await rig.shell.run(state())
    assert reply.kind is ReplyKind.OK
    assert reply.host == SERVER
    assert reply.clock is not None
    assert reply.clock.tzinfo is not None
    assert "services" in reply.result


async def test_a_script_that_says_no_is_failed_with_its_error_kind(rig: Rig) -> None:
    reply = await rig.shell.run(restart(not_after=EARLIER))
    assert (reply.kind, reply.error) == (ReplyKind.FAILED, "expired")
    assert reply.detail
    assert rig.effects() == 0


async def test_an_effect_happens_once_and_its_permit_is_entered_once_and_left(rig: Rig) -> None:
    gate = Gate(answer=True)
    reply = await rig.shell.run(restart(), gate)
    assert reply.kind is ReplyKind.OK
    assert rig.effects() == 1
    assert (gate.entered, gate.inside) == (1, 0)


async def test_a_refused_permit_withholds_the_effect(rig: Rig) -> None:
    gate = Gate(answer=False)
    reply = await rig.shell.run(restart(), gate)
    assert reply.kind is ReplyKind.WITHHELD
    assert rig.effects() == 0
    assert (gate.entered, gate.inside) == (1, 0)


async def test_a_refused_connection_is_unreachable_and_asks_for_no_permit(rig: Rig) -> None:
    rig.refuse_connections()
    gate = Gate(answer=True)
    reply = await rig.shell.run(restart(), gate)
    assert reply.kind is ReplyKind.UNREACHABLE
    assert SERVER in reply.detail
    assert (gate.entered, rig.effects()) == (0, 0)
    await rig.shell.close()


async def test_a_server_that_never_answers_is_unreachable_at_the_deadline(rig: Rig) -> None:
    rig.never_answer()
    gate = Gate(answer=True)
    reply = await rig.shell.run(restart(timeout=1.5), gate)
    assert reply.kind is ReplyKind.UNREACHABLE
    assert (gate.entered, rig.effects()) == (0, 0)


async def test_a_lost_answer_is_unknown_and_the_effect_is_not_sent_again(rig: Rig) -> None:
    rig.lose_answers("restart_service")
    reply = await rig.shell.run(restart())
    assert reply.kind is ReplyKind.UNKNOWN
    assert rig.effects() == 1


async def test_a_lost_answer_to_a_read_is_asked_for_again(rig: Rig) -> None:
    rig.lose_one_answer("server_state")
    assert (await rig.shell.run(state())).kind is ReplyKind.OK


async def test_a_read_whose_answers_are_all_lost_is_unknown(rig: Rig) -> None:
    rig.lose_answers("server_state")
    reply = await rig.shell.run(state())
    assert reply.kind is ReplyKind.UNKNOWN
    assert SERVER in reply.detail


async def test_a_script_that_hangs_is_unknown_at_the_deadline(rig: Rig) -> None:
    rig.hang_in_the_script()
    reply = await rig.shell.run(restart(timeout=5, stop_timeout=3600))
    assert reply.kind is ReplyKind.UNKNOWN
    assert "5 seconds" in reply.detail


async def test_after_close_nothing_is_sent(rig: Rig) -> None:
    await rig.shell.close()
    gate = Gate(answer=True)
    assert (await rig.shell.run(restart(), gate)).kind is ReplyKind.UNREACHABLE
    assert (gate.entered, rig.effects()) == (0, 0)


async def test_a_scripted_answer_that_is_missing_is_the_mistake_of_the_test() -> None:
    with pytest.raises(LookupError, match="server_state on mbx1"):
        await ScriptedShell(ManualClock()).run(state())
