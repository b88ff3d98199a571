"""The lab by a real PowerShell: what a script does becomes of the model, and what the model is shows in its answer."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.errors import OperatorError
from daemon.exchange.answers import Activation, ProbeRun, RestartedService, ServerHealth, ServerState, StepRunning
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.lab.model import Simulation
from daemon.lab.organisation import BACK_END, Power
from daemon.lab.pop_log import FRONT, Span
from daemon.lab.process import Process
from daemon.lab.pwsh.finding import ready_shell
from daemon.lab.pwsh.of_the_lab import IN_THE_WORLD, OUTSIDE_IT, world_of_call
from daemon.lab.pwsh.shell import Shell
from daemon.lab.record import Record
from daemon.lab.script_call import ScriptCall
from daemon.lab.security import Account
from tests.acceptance.site import command
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, empty, in_time, machine_of, wait_until
from tests.realparts.waiting import eventually_sync

MBX1, CAS1 = "mbx1.contoso.lab", "cas1.contoso.lab"


@pytest.fixture
def lab(tmp_path: Path, pwsh: Shell) -> Iterator[Lab]:
    """A lab whose endpoints run the real scripts."""
    with Lab(tmp_path, shell=pwsh) as lab:
        yield lab


@pytest.fixture
def client(lab: Lab) -> Client:
    return Client(lab, operation_timeout=20)


def done(lab: Lab) -> list[tuple[str, str, str]]:
    return [(effect.effect, effect.server, effect.step) for effect in lab.effects()]


def test_a_restart_by_the_real_script_makes_a_new_process_in_the_model_and_cures_what_it_cures(
    lab: Lab, client: Client
) -> None:
    lab.break_server("mbx1", Fault.RESTART_CURES)
    ill = client.call("mbx2", "server_health", server=MBX1, health_sets=["POP.Protocol"]).result(ServerHealth)
    assert {row.alert_value for row in ill.rows} == {"Unhealthy"}
    call = {"service": BACK_END, "stop_timeout": 60, "not_after": in_time(lab, "mbx1")}
    told = client.call("mbx1", "restart_service", "i1-1", **call).result(RestartedService).service
    service = machine_of(lab, "mbx1").services[BACK_END]
    assert (told.status, told.pid, told.started_at) == ("Running", service.pid, service.started_at)
    assert done(lab) == [("restart", MBX1, "i1-1")]
    probe = {"server": MBX1, "health_set": "POP.Protocol", "probe": "PopDeepTestProbe"}
    (probed,) = client.call("mbx2", "invoke_probe", **probe).result(ProbeRun).objects
    assert probed.result_type == "Succeeded"


def test_activation_that_is_set_moves_the_databases_and_leaves_its_mark(lab: Lab, client: Client) -> None:
    call = {"server": MBX1, "expected": False, "value": True, "not_after": in_time(lab, "mbx2")}
    told = client.call("mbx2", "set_activation", "i1-2", **call).result(Activation)
    assert (told.before, told.after, told.changed) == (False, True, True)
    assert machine_of(lab, "mbx1").activation_blocked
    assert done(lab) == [("stop_activation", MBX1, "i1-2")]
    for step, began in (("i1-2", True), ("i1-20", False)):
        assert client.call("mbx2", "step_running", step=step).result(StepRunning).began is began


def test_a_reboot_that_is_ordered_takes_the_server_down_and_says_who_asked(lab: Lab, client: Client) -> None:
    empty(lab, "mbx1")
    call = {"server": MBX1, "mailbox": True, "not_after": in_time(lab, "mbx2")}
    assert client.call("mbx2", "reboot", "i1-3", **call).envelope.ok
    assert machine_of(lab, "mbx1").power is Power.GOING_DOWN
    state = client.call("mbx1", "server_state", services=[]).result(ServerState)
    assert state.restart_comment == "exmedic i1-3"
    assert done(lab) == [("reboot", MBX1, "i1-3")]
    again = client.call("mbx2", "reboot", "i1-4", **{**call, "server": CAS1})
    assert again.error_kind == "not_found", "a Client Access server has no databases that the script could ask about"


def test_killed_while_it_waits_for_a_stop_the_stop_is_on_record_and_nothing_is_started(
    lab: Lab, client: Client
) -> None:
    lab.break_server("mbx1", Fault.SERVICE_HANGS)
    service = machine_of(lab, "mbx1").services[BACK_END]
    call = {"service": BACK_END, "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    running = {"step": "i1-5"}
    with client.started("mbx1", client.launch("restart_service", call, "i1-5")) as (protocol, shell, command_id):
        wait_until(lab, lambda: service.status == "StopPending")
        assert client.call("mbx1", "step_running", **running).result(StepRunning).running
        protocol.cleanup_command(shell, command_id)
        eventually_sync(
            lambda: not client.call("mbx1", "step_running", **running).result(StepRunning).running, "it is gone"
        )
    assert service.status == "StopPending"
    assert done(lab) == [("restart", MBX1, "i1-5")]


@pytest.mark.parametrize(
    ("fault", "script", "ends", "effects"),
    [
        (Fault.SCRIPT_BROKEN, "set_activation", "broken", []),
        (Fault.SCRIPT_DIES, "set_activation", "lost", ["stop_activation"]),
        (Fault.SCRIPT_DIES, "server_health", "broken", []),
        (Fault.EMPTY_ANSWER, "server_health", "ok", []),
    ],
)
def test_what_befalls_a_script_itself_shows_in_how_it_ends(
    client: Client, fault: Fault, script: str, ends: str, effects: list[str]
) -> None:
    lab = client.lab
    lab.break_server("mbx1", fault)
    change = {"expected": False, "value": True, "not_after": in_time(lab, "mbx2")}
    more = change if script == "set_activation" else {"health_sets": ["POP.Protocol"]}
    output = client.call("mbx2", script, "i1-6", server=MBX1, **more)
    if ends == "ok":
        assert output.result(ServerHealth).rows == ()
    else:
        assert ("lost" if output.exit_code == 3 else output.error_kind) == ends
    assert [effect for effect, _, _ in done(lab)] == effects
    assert machine_of(lab, "mbx1").activation_blocked is bool(effects)


def test_without_a_powershell_it_says_what_is_missing_and_where_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("EXMEDIC_PWSH", raising=False)
    with pytest.raises(OperatorError, match=r"no PowerShell here\. Set EXMEDIC_PWSH"):
        ready_shell(tmp_path, LabClock.starting_now(1))
    nothing = tmp_path / "pwsh"
    nothing.touch()
    monkeypatch.setenv("EXMEDIC_PWSH", str(nothing))
    with pytest.raises(OperatorError, match=f"EXMEDIC_PWSH names {nothing}, which is no program"):
        ready_shell(tmp_path, LabClock.starting_now(1))


def test_a_real_powershell_has_no_faster_clock(tmp_path: Path) -> None:
    code, said = command("lab", "-d", str(tmp_path), "--pwsh", "--speed", "60")
    assert code != 0
    assert "--speed 1" in said


#: Those that one server and no options do not show.
_OTHERWISE: dict[Fault, tuple[str, dict[str, object]]] = {
    Fault.BACKEND_SICK: ("cas1", {}),
    Fault.LOG_NAMES_NOBODY: ("cas1", {}),
    Fault.LOG_COLUMNS_DIFFER: ("cas1", {}),
    Fault.POPPROXY_INACTIVE: ("cas1", {}),
    Fault.OTHER_CAS_SICK: ("cas1", {}),
}


def _world(simulation: Simulation, server: str, script: str) -> Any:  # noqa: ANN401 - any JSON
    machine = simulation.machine(server)
    machine.pop_log.spans = [Span(FRONT, simulation.clock.now() - timedelta(minutes=20))]
    process = Process(simulation, "powershell.exe", delegated=False)
    call = ScriptCall(
        simulation=simulation,
        process=process,
        script=script,
        executor=machine,
        step="i1-1",
        args={"server": machine.name},
        exchange=None,
        siblings=list,
    )
    with simulation.timeline.up_to_date():
        return world_of_call(script, call, Account(), simulation.timeline.now())


@pytest.mark.parametrize("fault", sorted(IN_THE_WORLD))
def test_what_is_broken_shows_in_the_world_of_a_call(fault: Fault) -> None:
    simulation = Simulation(partial(Record, None), HandClock())
    server, options = _OTHERWISE.get(fault, ("mbx1", {}))
    if fault is Fault.BACKEND_SICK:
        simulation.inject("mbx1", Fault.INCURABLE, {})
    script = "set_activation" if fault is Fault.CHANGE_LOST else "protocol_log"
    before = _world(simulation, server, script)
    assert before == _world(simulation, server, script)
    simulation.inject(server, fault, options)
    assert before != _world(simulation, server, script)


def test_a_fault_that_no_world_would_show_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.lab.lab.IN_THE_WORLD", IN_THE_WORLD - {Fault.LOGGED_ON})
    with Lab(tmp_path, shell=Shell(tmp_path, tmp_path)) as lab:
        with pytest.raises(OperatorError, match="logged_on cannot be played by a real PowerShell yet"):
            lab.break_server("mbx1", "logged_on")
        assert not machine_of(lab, "mbx1").faults
        lab.break_server("mbx1", Fault.NEVER_BACK)
    assert not IN_THE_WORLD & OUTSIDE_IT


_ASKED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("mbx2", "server_health", {"server": MBX1, "health_sets": ["POP*"]}),
    ("mbx2", "invoke_probe", {"server": MBX1, "health_set": "POP.Protocol", "probe": "PopDeepTestProbe"}),
    ("mbx1", "server_state", {"services": [BACK_END, "MSExchangeIS"]}),
    ("mbx2", "database_copies", {"server": MBX1}),
    ("mbx2", "dag_health", {"server": MBX1}),
    ("mbx2", "exchange_server", {"server": MBX1}),
    ("mbx2", "pop_settings", {"server": MBX1}),
    ("mbx1", "recovery_log", {"hours": 6}),
    ("mbx2", "organisation", {}),
)
_BROKEN = (
    Fault.INCURABLE,
    Fault.LOGGED_ON,
    Fault.MAINTENANCE,
    Fault.RECOVERY_RUNNING,
    Fault.REBOOT_PENDING,
    Fault.CERTIFICATE,
    Fault.SUSPENDED_COPIES,
)


def _answers(directory: Path, shell: Shell | None, faults: tuple[Fault, ...]) -> list[str]:
    """What is answered, but for times and for ids, which are new each time."""
    with Lab(directory, shell=shell) as lab:
        for fault in faults:
            lab.break_server("mbx1", fault)
        client = Client(lab, operation_timeout=20)
        told = [client.call(executor, script, None, **args).envelope for executor, script, args in _ASKED]
    texts = [json.dumps(each.result if each.ok else str(each.error), sort_keys=True) for each in told]
    return [re.sub(r'"(\d{4}-\d\d-\d\dT|[0-9a-f]{8}(-[0-9a-f]{4}){3}-)[^"]*"', "~", text) for text in texts]


@pytest.mark.powershell_ladders
@pytest.mark.parametrize("faults", [(), _BROKEN], ids=["healthy", "broken"])
def test_the_lab_answers_the_same_with_a_real_powershell_and_without(
    tmp_path: Path, pwsh: Shell, faults: tuple[Fault, ...]
) -> None:
    assert _answers(tmp_path / "real", pwsh, faults) == _answers(tmp_path / "twins", None, faults)
