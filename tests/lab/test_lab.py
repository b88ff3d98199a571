"""The lab as a whole: its record, its control socket, the site it writes, the clock, and the broker."""

import json
import os
import select
import signal
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from typer.testing import CliRunner

from daemon.cli.lab import app
from daemon.config.inventory import load_inventory
from daemon.config.settings import Settings
from daemon.domain.errors import OperatorError
from daemon.lab.broker import EmbeddedBroker
from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from daemon.lab.socket import lab_command
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, in_time
from tests.realparts.mosquitto import free_port
from tests.realparts.waiting import HANG

MBX1 = "mbx1.contoso.lab"


def test_the_clock_runs_fast_from_its_epoch_and_agrees_with_another_of_the_same_numbers() -> None:
    epoch = datetime.now(UTC) - timedelta(seconds=10)
    first, second = LabClock(epoch, 60), LabClock(epoch, 60)
    before = first.now()
    between = second.now()
    assert before <= between <= first.now()
    assert timedelta(seconds=600) <= before - epoch < timedelta(seconds=900)
    assert first.real_seconds(timedelta(minutes=2)) == 2


def test_the_record_on_disk_is_the_record_in_memory(lab: Lab, tmp_path: Path) -> None:
    arguments = {"service": "MSExchangePOP3BE", "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    Client(lab).call("mbx1", "restart_service", "s1", **arguments)
    arguments = {"server": MBX1, "expected": False, "value": True, "not_after": in_time(lab, "mbx2")}
    Client(lab).call("mbx2", "set_activation", "s2", **arguments)
    lines = [json.loads(line) for line in (tmp_path / "effects.jsonl").read_text().splitlines()]
    assert lines == lab_command(tmp_path, {"command": "effects"})["effects"]
    assert [(line["effect"], line["server"], line["executor"], line["step"]) for line in lines] == [
        ("restart", MBX1, MBX1, "s1"),
        ("stop_activation", MBX1, "mbx2.contoso.lab", "s2"),
    ]
    assert [datetime.fromisoformat(line["at"]) for line in lines] == sorted(
        datetime.fromisoformat(line["at"]) for line in lines
    )


def test_another_process_can_break_look_cure_and_stop(lab: Lab, tmp_path: Path) -> None:
    options = {"minutes": 30}
    lab_command(tmp_path, {"command": "break", "server": "mbx1", "fault": "heals_itself", "options": options})
    servers = lab_command(tmp_path, {"command": "servers"})["servers"]
    assert isinstance(servers, dict)
    assert servers[MBX1]["unhealthy"] == ["PopDeepTestMonitor", "PopSelfTestMonitor"]
    assert list(servers[MBX1]["faults"]) == ["heals_itself"]
    lab_command(tmp_path, {"command": "cure", "server": "mbx1"})
    assert lab.servers()[MBX1]["faults"] == {}
    assert "answer_lost" in str(lab_command(tmp_path, {"command": "faults"}))
    assert not lab.stopped.is_set()
    lab_command(tmp_path, {"command": "stop"})
    assert lab.stopped.wait(HANG)


@pytest.mark.parametrize("place", [0, 2], ids=["before the command", "after it"])
def test_the_directory_may_be_told_before_the_command_or_after_it(lab: Lab, tmp_path: Path, place: int) -> None:
    words = ["break", "mbx1", "incurable"]
    where = ["--directory", str(tmp_path)]
    result = CliRunner().invoke(app, [*where, *words] if place == 0 else [*words, *where])
    assert result.exit_code == 0, result.output
    assert "incurable" in str(lab.servers()[MBX1]["faults"])


@pytest.mark.parametrize(
    "command",
    [
        {"command": "explode"},
        {"command": "break", "server": "mbx1"},
        {"command": "break", "server": "mbx1", "fault": "incurable", "options": [1]},
        {"command": "break", "server": "mbx1", "fault": "on_fire"},
        {"command": "cure", "server": "nowhere"},
        {},
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_a_reason(
    lab: Lab, tmp_path: Path, command: dict[str, object]
) -> None:
    with pytest.raises(OperatorError, match=r"\w+ \w+"):
        lab_command(tmp_path, command)
    assert lab.effects() == ()


def test_without_a_lab_the_command_says_where_it_looked(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(OperatorError, match=str(directory)):
            lab_command(directory, {"command": "effects"})


def test_only_one_lab_runs_in_a_directory(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="already runs"):
        Lab(tmp_path, lab.clock).start()
    assert lab_command(tmp_path, {"command": "effects"}) == {"effects": []}


def test_the_control_socket_of_a_killed_lab_is_replaced_and_works_in_a_deep_directory(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["a-rather-long-name"] * 8)
    directory.mkdir(parents=True)
    program = (
        "import sys, pathlib; from daemon.lab.lab import Lab\n"
        "lab = Lab(pathlib.Path(sys.argv[1])); lab.start(); print('up', flush=True); lab.stopped.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert lab_command(directory, {"command": "effects"}) == {"effects": []}
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(OperatorError):
        lab_command(directory, {"command": "effects"})
    with Lab(directory):
        assert lab_command(directory, {"command": "effects"}) == {"effects": []}


def test_only_its_user_can_steer_a_lab(lab: Lab, tmp_path: Path) -> None:
    assert lab.stopped.is_set() is False
    assert (tmp_path / "lab.sock").stat().st_mode & 0o777 == 0o600


def test_the_site_it_writes_is_what_the_daemon_reads(lab: Lab, tmp_path: Path) -> None:
    path = lab.write_site(tmp_path / "site", 18830)
    settings = Settings.model_validate(tomllib.loads(path.read_text()))
    assert settings.bus.port == 18830
    assert settings.safety.auto_tags == ("lab",)
    assert settings.lab is not None
    assert (settings.lab.epoch, settings.lab.speed) == (lab.clock.epoch, lab.clock.speed)
    credential = settings.credentials["lab"]
    assert credential.username == lab.username
    assert credential.password is not None
    assert credential.password.file is not None
    password = tmp_path / "site" / credential.password.file
    assert password.read_text().strip() == lab.password
    assert password.stat().st_mode & 0o777 == 0o600

    inventory = load_inventory(tmp_path / "site" / "inventory.toml", settings)
    assert {server.name: server.endpoint for server in inventory} == lab.endpoints
    for server in inventory:
        machine = lab.simulation.machine(server.name)
        assert {role.value for role in server.roles} == machine.roles
        assert (server.dag, server.site, server.tags) == (machine.dag, machine.site, frozenset({"lab"}))


def test_the_site_can_be_written_again(lab: Lab, tmp_path: Path) -> None:
    assert lab.write_site(tmp_path, 1).read_text() == lab.write_site(tmp_path, 1).read_text()


def test_two_labs_live_in_one_process(tmp_path: Path) -> None:
    with Lab(tmp_path / "one") as one, Lab(tmp_path / "two", HandClock()) as two:
        for lab in (one, two):
            assert Client(lab).call("mbx1", "server_state", services=[]).exit_code == 0
        assert not set(one.endpoints.values()) & set(two.endpoints.values())


async def test_the_embedded_broker_speaks_mqtt_5_and_frees_its_port() -> None:
    with EmbeddedBroker(free_port()) as broker:
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=HANG
        ) as client:
            await client.subscribe("alerts/#", qos=1)
            await client.publish("alerts/big", b"x" * 1_000_000, qos=1)
            message = await anext(aiter(client.messages))
            assert len(bytes(message.payload)) == 1_000_000
    with EmbeddedBroker(broker.port) as again:
        assert again.port == broker.port


def test_a_broker_whose_port_is_taken_says_so() -> None:
    with EmbeddedBroker() as broker, pytest.raises(OperatorError, match=str(broker.port)):
        EmbeddedBroker(broker.port).start()


def test_a_port_that_another_process_took_first_is_given_up_for_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedBroker(free_port()) as first:
        free = free_port()
        monkeypatch.setattr("daemon.lab.broker._free_port", iter([first.port, free]).__next__)
        with EmbeddedBroker() as second:
            assert second.port == free


def test_the_broker_ends_with_its_parent() -> None:
    program = (
        "from daemon.lab.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(); broker.start(); print(broker._broker._process.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        os.kill(parent.pid, signal.SIGKILL)
    try:
        assert select.select([watch], [], [], HANG)[0], "the broker outlived its parent"
    finally:
        os.close(watch)
