"""Commands to a daemon that does not answer as it should, or not to everybody; and text that looks like markup."""

import json
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.adapters.sqlite.file import lock
from daemon.cli import main, pause
from daemon.cli.pause import UNCONFIRMED
from daemon.config.whereabouts import DATABASE
from daemon.domain.values import moment
from daemon.operators.socket import SOCKET_MODE
from daemon.runtime.unix_socket import socket_address
from tests.cli.conftest import Exmedic
from tests.realparts.nobody import as_nobody


@contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[None]:
    """Something at the daemon's socket that answers every command with these bytes; None: it only listens."""
    with socket.socket(socket.AF_UNIX) as listener:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer or b"")

        thread = threading.Thread(target=serve) if answer is not None else None
        if thread:
            thread.start()
        yield
        if thread:
            thread.join()
    path.unlink()


@pytest.mark.parametrize("answer", [b"", b"{", b"\xff\n", b"[]\n", b'"paused"\n'])
@pytest.mark.parametrize("command", ["pause", "resume", "status"])
def test_an_answer_that_is_none_is_an_error_that_does_not_claim_anything(
    command: str, answer: bytes, exmedic: Exmedic, config: Path
) -> None:
    with answering(config.parent / "control.sock", answer):
        result = exmedic(command, "--config", str(config))
    assert result.code == (UNCONFIRMED if command == "pause" else 1)
    assert "is not known" in result.said
    assert not result.out


@pytest.mark.parametrize(
    ("arguments", "scope"),
    [
        ((), "everything"),
        (("--server", "MBX1"), "mbx1.contoso.lab"),
        (("--dag", "dag1"), "dag.DAG1"),
    ],
)
def test_a_pause_is_on_the_disk_before_a_daemon_that_hangs_is_given_up_on(
    arguments: tuple[str, ...], scope: str, exmedic: Exmedic, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "CONFIRMED_WITHIN", 0.1)
    with answering(config.parent / "control.sock", None):
        result = exmedic("pause", *arguments, "--reason", "smoke", "--config", str(config))
    assert (result.code, result.out) == (UNCONFIRMED, "")
    told = "paused on disk; the daemon has not confirmed, a step past its last look may still start."
    (file,) = (config.parent / "pause.d").iterdir()
    assert f"exmedic: {told} The order is {file}." in result.said
    assert re.fullmatch(rf"{scope}@[0-9a-f]{{8}}", file.name)
    assert json.loads(file.read_bytes())["why"] == "by root: smoke"


def test_so_many_wait_at_a_daemon_that_hangs_that_no_other_may_and_it_is_paused_all_the_same(
    exmedic: Exmedic, config: Path
) -> None:
    path = config.parent / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        with socket_address(path) as address:
            listener.bind(address)
            listener.listen(0)
            waiting.connect(address)
        assert "takes no commands: it hangs" in exmedic("status", "--config", str(config)).said
        assert exmedic("pause", "--config", str(config)).code == UNCONFIRMED
    assert list((config.parent / "pause.d").iterdir())


def test_a_daemon_that_has_the_store_open_and_does_not_listen_has_confirmed_nothing(
    exmedic: Exmedic, config: Path
) -> None:
    with lock(config.parent / "data" / DATABASE):
        result = exmedic("pause", "--config", str(config))
    assert (result.code, "has not confirmed" in result.said) == (UNCONFIRMED, True)
    assert exmedic("pause", "--config", str(config)).code == 0, "it has ended: the next one finds the file"


def test_a_mistake_in_the_configuration_keeps_nobody_from_pausing_everything(exmedic: Exmedic, config: Path) -> None:
    config.write_text(config.read_text("utf-8").replace("[bus]", "[buss]"), "utf-8")
    result = exmedic("pause", "--config", str(config))
    assert (result.code, f"the order is {config.parent}/pause.d/everything@" in result.said) == (0, True)
    result = exmedic("pause", "--server", "mbx1", "--config", str(config))
    assert (result.code, "buss" in result.said) == (1, True), "what a name means cannot be told"


def test_a_name_that_only_the_running_daemon_knows_is_paused_by_it(exmedic: Exmedic, config: Path) -> None:
    with answering(config.parent / "control.sock", b'{"paused": "by root: smoke", "scope": "new1.contoso.lab"}\n'):
        result = exmedic("pause", "--server", "new1", "--config", str(config))
    assert (result.code, result.said) == (0, "paused new1.contoso.lab by root: smoke")
    assert not list((config.parent / "pause.d").glob("*"))


def test_a_refusal_of_the_daemon_is_shown_as_it_is_brackets_included(exmedic: Exmedic, config: Path) -> None:
    with answering(config.parent / "control.sock", b'{"error": "no [/] such [bold]thing[/bold]"}\n'):
        result = exmedic("release", "mbx1", "--config", str(config))
    assert result.code == 1
    assert "no [/] such [bold]thing[/bold]" in result.said


def test_what_waits_for_room_is_dropped_only_if_that_is_said(exmedic: Exmedic, config: Path) -> None:
    refused = exmedic("incidents", "drop", "--reason", "a test", "--config", str(config))
    assert (refused.code, "say what to drop: --deferred" in refused.said) == (1, True)
    with answering(config.parent / "control.sock", b'{"dropped": 481, "left": 2}\n'):
        result = exmedic("incidents", "drop", "--deferred", "--reason", "a test", "--config", str(config))
    assert (result.code, result.said) == (0, "dropped 481 monitors that waited for room; 2 wait for their time")


def test_a_reason_may_hold_brackets(exmedic: Exmedic, config: Path) -> None:
    with answering(config.parent / "control.sock", b'{"paused": "by root: [/] change [4711]"}\n'):
        result = exmedic("pause", "--reason", "[/] change [4711]", "--config", str(config))
    assert (result.code, "by root: [/] change [4711]" in result.said) == (0, True)
    with answering(config.parent / "control.sock", b'{"paused": "[/] change [4711]"}\n'):
        result = exmedic("status", "--config", str(config))
    assert (result.code, "paused: [/] change [4711]" in result.said) == (0, True)


def test_pause_and_resume_without_a_daemon_write_and_remove_the_order(exmedic: Exmedic, config: Path) -> None:
    assert exmedic("pause", "--reason", "backup", "--config", str(config)).code == 0
    assert exmedic("pause", "--reason", "again", "--config", str(config)).code == 0
    first, second = sorted((config.parent / "pause.d").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert ("backup" in first.read_text("utf-8"), "again" in second.read_text("utf-8")) == (True, True)
    (config.parent / "pause").touch()  # and somebody by hand
    assert exmedic("resume", "--config", str(config)).code == 0
    assert not list(config.parent.glob("pause*/*"))
    assert not (config.parent / "pause").exists()


@pytest.mark.parametrize(
    ("option", "name", "scope"), [("--server", "MBX1", "mbx1.contoso.lab"), ("--dag", "dag1", "dag.DAG1")]
)
def test_a_server_or_dag_is_paused_and_resumed_without_a_daemon(
    option: str, name: str, scope: str, exmedic: Exmedic, config: Path
) -> None:
    assert exmedic("pause", option, name, "--config", str(config)).code == 0
    assert [path.name.partition("@")[0] for path in (config.parent / "pause.d").iterdir()] == [scope]
    assert "everything is not paused by itself" in exmedic("resume", "--config", str(config)).said
    assert exmedic("resume", option, name, "--config", str(config)).code == 0
    assert not list((config.parent / "pause.d").iterdir())
    unknown = exmedic("pause", option, "unknown", "--config", str(config))
    assert (unknown.code, "does not have unknown" in unknown.said) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "seconds"), [(("--for", "90s"), 90), (("--for", "2h"), 7200), (("--until", "2999-01-01"), None)]
)
def test_a_pause_may_end_by_itself(
    arguments: tuple[str, ...], seconds: int | None, exmedic: Exmedic, config: Path
) -> None:
    before = datetime.now(UTC)
    assert exmedic("pause", *arguments, "--config", str(config)).code == 0
    (file,) = (config.parent / "pause.d").iterdir()
    order = json.loads(file.read_bytes())
    lasts = moment(order["until"]) - before
    since = moment(order["since"])
    assert (lasts > timedelta(days=300_000)) if seconds is None else lasts >= timedelta(seconds=seconds - 1)
    assert seconds is None or moment(order["until"]) - since <= timedelta(seconds=seconds)


def test_until_a_time_of_day_is_the_next_one_of_this_machine(exmedic: Exmedic, config: Path) -> None:
    before = datetime.now(UTC)
    assert exmedic("pause", "--until", "06:30", "--config", str(config)).code == 0
    (file,) = (config.parent / "pause.d").iterdir()
    end = moment(json.loads(file.read_bytes())["until"])
    assert timedelta(0) < end - before <= timedelta(days=1, hours=1)
    assert f"{end.astimezone():%H:%M}" == "06:30"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--for", "soon"),
        ("--for", "0h"),
        ("--until", "noon"),
        ("--until", "2020-01-01T00:00"),
        ("--for", "1h", "--until", "23:00"),
    ],
)
def test_an_end_that_makes_no_sense_is_wrong_usage_and_pauses_nothing(
    arguments: tuple[str, ...], exmedic: Exmedic, config: Path
) -> None:
    assert exmedic("pause", *arguments, "--config", str(config)).code == 2
    assert not (config.parent / "pause.d").exists()


def test_an_order_that_cannot_be_written_or_removed_is_named(exmedic: Exmedic, config: Path) -> None:
    (config.parent / "pause.d").write_text("in the way")
    result = exmedic("pause", "--config", str(config))
    assert (result.code, f"the pause file {config.parent}/pause.d/everything@" in result.said) == (1, True)
    (config.parent / "pause.d").unlink()
    (config.parent / "pause").mkdir()
    result = exmedic("resume", "--config", str(config))
    assert (result.code, f"the pause file {config.parent}/pause cannot be removed" in result.said) == (1, True)


@pytest.fixture
def public() -> Iterator[Path]:
    """A site that the user nobody may look at, and write nothing in; not below a directory that is only root's."""
    with tempfile.TemporaryDirectory() as directory:
        site = Path(directory)
        site.chmod(0o755)
        text = 'socket = "control.sock"\ndata = "data"\ninventory = "inventory.toml"\n[safety]\npause_file = "pause"\n'
        (site / "exmedic.toml").write_text(text)
        yield site


def test_whoever_may_not_use_the_socket_is_told_what_to_do(exmedic: Exmedic, public: Path) -> None:
    exmedic("check", "--config", str(public / "exmedic.toml"))  # imports what nobody may not read here
    with answering(public / "control.sock", None):
        (public / "control.sock").chmod(SOCKET_MODE)
        code, said = as_nobody(lambda: main_of("pause", "--config", str(public / "exmedic.toml")))
    said = " ".join(said.split())
    assert code == 1
    assert f"you may not use {public}/control.sock: join the daemon's group" in said
    assert "cannot be written: Permission denied; join the daemon's group, or use sudo" in said


def test_whoever_may_not_write_the_pause_file_asks_the_daemon_for_it(exmedic: Exmedic, public: Path) -> None:
    exmedic("check", "--config", str(public / "exmedic.toml"))  # imports what nobody may not read here
    with answering(public / "control.sock", b'{"paused": "by nobody: smoke"}\n'):
        (public / "control.sock").chmod(0o666)
        code, said = as_nobody(lambda: main_of("pause", "--config", str(public / "exmedic.toml")))
    assert (code, said) == (0, "paused by nobody: smoke\n")
    assert not list(public.glob("pause*"))


def main_of(*arguments: str) -> None:
    sys.argv = ["exmedic", *arguments]
    main()
