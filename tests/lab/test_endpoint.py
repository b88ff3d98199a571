"""The endpoint as WinRM: logging on, shells, faults of the protocol, and what is refused."""

import base64
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
import requests
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError

from daemon.exchange import launch as scripts
from daemon.lab.lab import Lab
from daemon.lab.model import Simulation
from daemon.lab.record import Record
from daemon.lab.security import Account
from daemon.lab.soap import QUOTA_EXCEEDED, SHELL_LOST, Request
from daemon.lab.wsman import MAX_SHELLS, ConnectionCut, WsmanService
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, in_time
from tests.realparts.waiting import HANG

MBX1 = "mbx1.contoso.lab"


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_a_wrong_password_is_refused_before_any_shell(lab: Lab, transport: Literal["ntlm", "basic"]) -> None:
    with pytest.raises(InvalidCredentialsError):
        Client(lab, transport=transport, password="wrong").call("mbx2", "server_state", services=[])
    assert lab.open_shells("mbx2") == 0


def test_an_unknown_user_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidCredentialsError), Client(lab, username="CONTOSO\\nobody").protocol_open("mbx1"):
        pass


def test_a_request_without_credentials_is_challenged(lab: Lab) -> None:
    response = requests.post(lab.endpoints[MBX1], data=b"<x/>", timeout=HANG)
    assert response.status_code == 401
    assert "Negotiate" in response.headers["WWW-Authenticate"]


def test_an_ntlm_connection_takes_no_message_that_is_not_encrypted(lab: Lab) -> None:
    with (
        pytest.raises(WinRMTransportError, match="400"),
        Client(lab, message_encryption="never").protocol_open("mbx1"),
    ):
        pass


def test_a_message_longer_than_the_limit_is_refused_unread(lab: Lab) -> None:
    response = requests.post(lab.endpoints[MBX1], data=b"x" * 600_000, timeout=HANG)
    assert response.status_code == 413


def test_what_is_no_http_is_answered_and_the_endpoint_lives_on(lab: Lab, client: Client) -> None:
    address = urlsplit(lab.endpoints[MBX1])
    with socket.create_connection((address.hostname, address.port), timeout=HANG) as raw:
        raw.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert b"400" in raw.makefile("rb").read()
    assert client.call("mbx1", "server_state", services=[]).exit_code == 0


def test_xml_that_is_no_request_gets_a_fault(lab: Lab) -> None:
    for body in (b"not xml", b"<a/>"):
        response = requests.post(lab.endpoints[MBX1], data=body, auth=(lab.username, lab.password), timeout=HANG)
        assert response.status_code == 500
        assert "WSManFault" in response.text


def test_a_script_of_several_chunks_arrives_whole(client: Client) -> None:
    launch = client.launch("server_state", {"services": []})
    with client.protocol_open("mbx1") as (protocol, shell):
        command = protocol.run_command(shell, launch.executable, launch.arguments, skip_cmd_shell=True)
        for start in range(0, len(launch.stdin), 5000):
            chunk = launch.stdin[start : start + 5000]
            protocol.send_command_input(shell, command, chunk, end=start + 5000 >= len(launch.stdin))
        stdout, _, exit_code = protocol.get_command_output(shell, command)
        protocol.close_shell(shell, close_session=False)
    assert exit_code == 0
    assert json.loads(stdout)["ok"]


def test_the_thirty_first_shell_of_a_user_exceeds_the_quota(lab: Lab, client: Client) -> None:
    with client.protocol_open("mbx1") as (protocol, shell):
        for _ in range(MAX_SHELLS - 1):
            protocol.open_shell()
        with pytest.raises(WSManFaultError) as caught:
            protocol.open_shell()
        assert caught.value.wsman_fault_code == QUOTA_EXCEEDED
        protocol.close_shell(shell, close_session=False)
        protocol.open_shell()
    assert lab.open_shells("mbx1") == MAX_SHELLS


def test_an_idle_shell_is_closed_after_its_time_out_on_lab_time(still_lab: Lab, hand_clock: HandClock) -> None:
    with Client(still_lab).protocol_open("mbx1", idle_timeout="PT60S") as (protocol, shell):
        hand_clock.advance(still_lab.simulation, 59)
        command = protocol.run_command(shell, "powershell.exe")
        hand_clock.advance(still_lab.simulation, 61)
        assert still_lab.open_shells("mbx1") == 0
        with pytest.raises(WSManFaultError) as caught:
            protocol.get_command_output_raw(shell, command)
        assert caught.value.wsman_fault_code == SHELL_LOST


def test_shells_are_lost_on_a_reboot(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    with client.protocol_open("cas1") as (protocol, shell):
        arguments = {"server": "cas1.contoso.lab", "mailbox": False, "not_after": in_time(still_lab, "cas2")}
        client.call("cas2", "reboot", **arguments)
        hand_clock.advance(still_lab.simulation, 30)
        with pytest.raises(requests.ConnectionError):
            protocol.run_command(shell, "powershell.exe")
        hand_clock.advance(still_lab.simulation, 120)
    with client.protocol_open("cas1") as (protocol, _), pytest.raises(WSManFaultError) as caught:
        protocol.run_command(shell, "powershell.exe")
    assert caught.value.wsman_fault_code == SHELL_LOST


def _altered(client: Client, **changes: object) -> bytes:
    call, password = client.launch("server_health", {"server": MBX1}, "step-x").stdin.splitlines()
    return base64.b64encode(json.dumps({**json.loads(base64.b64decode(call)), **changes}).encode()) + b"\n" + password


def test_anything_but_a_shipped_script_is_rejected_and_recorded(lab: Lab, client: Client) -> None:
    text = scripts.load("server_health").text
    changed = base64.b64encode((text + "\n").encode()).decode()
    other = base64.b64encode(scripts.load("reboot").text.encode()).decode()
    bad = {
        "no base64": b"Restart-Computer",
        "no object": base64.b64encode(b"[1]"),
        "unknown name": _altered(client, name="format_disk"),
        "one byte more": _altered(client, script=changed),
        "text of another script": _altered(client, script=other),
        "another step than in the command line": _altered(client, step="step-y"),
        "arguments that are no object": _altered(client, args=[1]),
        "nothing": b"",
        "half a line": _altered(client)[:400],
        "a user name without a password": _altered(client).splitlines()[0],
        "half a password": _altered(client)[:-4],
        "another password": _altered(client).splitlines()[0] + b"\n" + base64.b64encode(b"x" * 30),
        "a password without its hash": _altered(client, secret_sha256=None),
        "a password without a user name": _altered(client, username=None),
    }
    cut = {"nothing", "no base64", "no object", "half a line", "half a password", "another password"}
    cut |= {"a user name without a password", "a password without its hash"}
    good = scripts.launch("server_health", "step-x", {"server": MBX1})
    for what, stdin in bad.items():
        launch = scripts.Launch(good.executable, good.arguments, stdin)
        with client.started("mbx1", launch) as (protocol, shell, command):
            stdout, stderr, exit_code = protocol.get_command_output(shell, command)
        assert (stdout, exit_code) == (b"", 3 if what in cut else 1), what
        assert stderr
    violations = lab.effects()
    assert len(violations) == len(bad)
    assert {(violation.effect, violation.server) for violation in violations} == {("violation", MBX1)}
    assert lab.reads() == {}


def test_another_command_line_than_the_bootstrap_is_rejected(lab: Lab, client: Client) -> None:
    good = client.launch("server_state", {"services": []}, "step-x")
    for arguments in (("-Command", "exmedic-step-x"), (*good.arguments, ";", "Restart-Computer")):
        launch = scripts.Launch(good.executable, arguments, good.stdin)
        with client.started("mbx1", launch) as (protocol, shell, command):
            assert protocol.get_command_output(shell, command)[2] == 1
    assert [effect.effect for effect in lab.effects()] == ["violation", "violation"]


def test_many_clients_at_once_each_get_their_own_answer(lab: Lab) -> None:
    def ask(number: int) -> str:
        return Client(lab).call("mbx2", "server_state", f"step-{number}", services=[]).envelope.step

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [f"step-{number}" for number in range(48)]
    assert lab.open_shells("mbx2") == 0


@pytest.mark.parametrize("action", ["Create", "Command"])
def test_a_request_that_was_on_its_way_when_the_server_went_down_dies_with_it(
    tmp_path: Path, hand_clock: HandClock, action: str
) -> None:
    simulation = Simulation(partial(Record, tmp_path / "effects.jsonl"), hand_clock)
    machine = simulation.machine("mbx1")
    service = WsmanService(simulation, machine, Account())
    request = Request(action=action, message_id="", shell_id="", operation_timeout=1.0, body=None)
    with simulation.timeline.changed:
        simulation.windows.crash(machine)
        service.lose_shells()
    with pytest.raises(ConnectionCut):
        service.handle(request, delegated=False)
    assert service.open_shells == 0, "it would never be closed: the client does not know of it"
