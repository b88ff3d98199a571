"""Help that teaches, wrong usage, and what every command says when what it needs is not there."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

from daemon.cli import app
from daemon.cli.table import TABLE, every
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from tests.cli.conftest import Exmedic
from tests.cli.test_operators import answering

COLUMNS = 80


def commands(below: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands, with the words that lead to it."""
    for name, command in below.items():
        yield (*path, name), command
        yield from commands(getattr(command, "commands", {}), (*path, name))


EVERY = {(): typer.main.get_command(app), **dict(commands(every()))}
#: Commands that need a site, with arguments to call them with.
WITH_A_SITE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("run",): (),
    ("check",): (),
    ("incidents",): (),
    ("show",): ("i1",),
    ("resume",): (),
    ("release",): ("mbx1",),
    ("close",): ("i1",),
    ("undo",): ("i1",),
    ("status",): (),
    ("audit", "verify"): (),
    ("backup",): ("copy.db",),
    ("alert", "send"): ("mbx1",),
}


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_says_in_a_sentence_what_a_command_does_and_fits_a_terminal(
    path: tuple[str, ...], exmedic: Exmedic
) -> None:
    result = exmedic(*path, "--help")
    assert result.code == 0
    assert max(len(line) for line in result.out.splitlines()) <= COLUMNS
    told = (EVERY[path].help or "").strip()
    assert told.partition("\n\n")[0].endswith((".", ":")), "a sentence"
    for parameter in EVERY[path].params:
        assert getattr(parameter, "help", None), f"{parameter.name} is explained"


@pytest.mark.parametrize("name", TABLE)
def test_the_list_of_all_commands_says_what_the_help_of_each_does(name: str) -> None:
    told = " ".join(EVERY[name,].help.partition("\n\n")[0].split())
    assert TABLE[name].told == told


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported at its end, standard library included."""
    script = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); import daemon.cli; daemon.cli.main()"
    ended = subprocess.run([sys.executable, "-c", script, *arguments], check=False, capture_output=True, text=True)
    return set(ended.stdout.splitlines()[-1].split())


QUICK = 420  #: modules; what is added is imported where it is needed, or this ceiling is raised


def quick(modules: set[str]) -> bool:
    slow = {"daemon.config.settings", "statemachines.model", "daemon.operators.commands", "structlog"}
    return not modules & slow and len(modules) <= QUICK


def test_the_help_imports_no_command() -> None:
    modules = imported("--help")
    assert quick(modules)
    assert not [each for each in modules if each in {f"daemon.cli.{listed.module}" for listed in TABLE.values()}]


@pytest.mark.parametrize("command", ["pause", "status"])
def test_what_is_wanted_in_a_hurry_imports_little(command: str, config: Path) -> None:
    with answering(config.parent / "control.sock", b'{"paused": "by root: smoke"}\n'):
        modules = imported(command, "--config", str(config))
    assert quick(modules)
    assert f"daemon.cli.{command}" in modules


def test_the_help_of_the_whole_shows_where_to_begin(exmedic: Exmedic) -> None:
    assert "Try it: exmedic demo" in exmedic("--help").said


def test_no_arguments_show_the_help(exmedic: Exmedic) -> None:
    assert "Usage: exmedic" in exmedic().said


def test_the_version_is_printed(exmedic: Exmedic) -> None:
    result = exmedic("--version")
    assert (result.code, result.said.split()[0]) == (0, "exmedic")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("heal",), "No such command 'heal'"),
        (("show",), "Missing argument"),
        (("release",), "Missing argument"),
        (("pause", "--forever"), "No such option"),
        (("incidents", "--status", "closed"), "'closed' is not one of"),
        (("incidents", "--limit", "0"), "greater than or equal to 1"),
        (("demo", "--speed", "0"), "greater than or equal to 1"),
        (("lab", "--speed", "5000"), "less than or equal to 1000"),
        (("alert",), "Usage: exmedic alert"),
    ],
)
def test_wrong_usage_is_explained_with_exit_code_2(arguments: tuple[str, ...], says: str, exmedic: Exmedic) -> None:
    result = exmedic(*arguments)
    assert result.code == 2
    assert says in result.said


@pytest.mark.parametrize("path", WITH_A_SITE, ids=" ".join)
def test_without_a_configuration_each_command_names_the_file_it_looked_for(
    path: tuple[str, ...], exmedic: Exmedic, tmp_path: Path
) -> None:
    missing = tmp_path / "exmedic.toml"
    result = exmedic(*path, *WITH_A_SITE[path], "--config", str(missing))
    assert result.code == 2
    assert f"{missing}: cannot be read: No such file or directory" in result.said


MISTAKES = """\
data = 5
sokcet = "control.sock"
[bus]
port = 99999
[safety]
mode = "auto"
[credentials.lab]
transport = "telnet"
username = "x"
"""


@pytest.mark.parametrize("path", WITH_A_SITE, ids=" ".join)
def test_five_mistakes_are_reported_at_once_each_with_its_line(
    path: tuple[str, ...], exmedic: Exmedic, tmp_path: Path
) -> None:
    wrong = tmp_path / "exmedic.toml"
    wrong.write_text(MISTAKES, "utf-8")
    result = exmedic(*path, *WITH_A_SITE[path], "--config", str(wrong))
    assert result.code == 2
    for line in (1, 2, 4, 6, 8):
        assert f"{wrong}:{line}:" in result.said
    assert not (tmp_path / "data").exists(), "nothing was started"


@pytest.mark.parametrize("path", [("resume",), ("release",), ("close",), ("undo",), ("status",)], ids=" ".join)
def test_without_a_daemon_commands_to_it_say_so(path: tuple[str, ...], exmedic: Exmedic, config: Path) -> None:
    result = exmedic(*path, *WITH_A_SITE[path], "--config", str(config))
    assert result.code == 1
    expected = "everything is not paused by itself:" if path == ("resume",) else "no daemon listens at"
    assert result.said.startswith(f"exmedic: {expected} {config.parent}")


@pytest.mark.parametrize("path", [("incidents",), ("show",), ("audit", "verify")], ids=" ".join)
def test_without_a_store_commands_that_read_it_say_which_file(
    path: tuple[str, ...], exmedic: Exmedic, config: Path
) -> None:
    result = exmedic(*path, *WITH_A_SITE[path], "--config", str(config))
    assert result.code == 1
    assert f"{config.parent}/data/exmedic.db" in result.said
    assert "cannot be opened" in result.said


def test_without_a_broker_a_test_alert_says_which_one(exmedic: Exmedic, config: Path) -> None:
    result = exmedic("alert", "send", "mbx1", "--config", str(config))
    assert result.code == 1
    assert "the broker 127.0.0.1:1 cannot be reached: " in result.said


def test_without_a_lab_its_commands_say_how_to_start_one(exmedic: Exmedic, tmp_path: Path) -> None:
    for command in (("servers",), ("effects",), ("cure", "mbx1"), ("break", "mbx1", "incurable")):
        result = exmedic("lab", *command, "--directory", str(tmp_path / "no-lab"))
        assert result.code == 1
        assert "Start one with `exmedic lab`" in result.said


def test_the_faults_of_the_lab_are_listed_with_what_each_does(exmedic: Exmedic) -> None:
    result = exmedic("lab", "faults")
    assert [fault for fault in Fault if fault.value not in result.out] == []
    assert max(len(line.rstrip()) for line in result.out.splitlines()) <= COLUMNS


def test_the_schema_of_alerts_is_printed_as_json(exmedic: Exmedic) -> None:
    result = exmedic("alert", "schema")
    assert json.loads(result.out)["title"] == "exmedic alert"


def test_check_says_what_would_be_allowed_where(exmedic: Exmedic, config: Path) -> None:
    good = exmedic("check", "--config", str(config))
    assert good.code == 0
    assert "11 servers" in good.said
    assert "mode auto: mbx1.contoso.lab, mbx2" in good.said
    config.write_text(config.read_text("utf-8").replace('auto_tags = ["lab"]', "auto_tags = []"), "utf-8")
    assert "no server; everything is only observed" in exmedic("check", "--config", str(config)).said


def test_check_says_where_a_ladder_may_come_to_more_than_the_budgets_allow(exmedic: Exmedic, config: Path) -> None:
    assert "budgets:" not in exmedic("check", "--config", str(config)).said
    config.write_text(f"{config.read_text('utf-8')}\n[budgets]\nmoves_a_day_fleet = 0\n", "utf-8")
    result = exmedic("check", "--config", str(config))
    assert result.code == 0
    assert (
        "budgets: pop-mailbox: reboot.move: stop_activation comes once on one path; a ladder may do it never"
        in result.said
    )


def test_check_and_show_tell_modes_that_depend_on_the_action(exmedic: Exmedic, config: Path) -> None:
    rules = """auto_tags = []
[[safety.modes]]
mode = "auto"
servers = ["mbx1.contoso.lab", "mbx2.contoso.lab"]
[[safety.modes]]
mode = "approve"
servers = ["mbx1.contoso.lab"]
actions = ["move", "reboot"]
[[safety.modes]]
mode = "observe"
servers = ["mbx2.contoso.lab"]
actions = ["reboot"]
"""
    text = config.read_text("utf-8").replace('pause_file = "pause"\n', "")
    config.write_text(text.replace('auto_tags = ["lab"]\n', f'pause_file = "pause"\n{rules}'), "utf-8")
    said = exmedic("check", "--config", str(config)).said
    assert "mode auto: mbx1.contoso.lab (restart setting), mbx2.contoso.lab (restart move setting)" in said
    assert "mode approve: mbx1.contoso.lab (move reboot)" in said
    assert "mbx2.contoso.lab may be moved away from, and is never rebooted" in said
    shown = exmedic("inventory", "show", "--config", str(config))
    assert (shown.code, "approve: move" in shown.said) == (0, True), shown.said


def test_a_fault_of_the_lab_takes_options(exmedic: Exmedic, tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", LabClock.starting_now(1)) as lab:
        place = ("--directory", str(tmp_path / "lab"))
        done = exmedic("lab", "break", "mbx1", "heals_itself", "-o", "minutes=2", *place)
        assert (done.code, done.said) == (0, "broken: mbx1 (heals_itself)")
        assert "heals_itself" in str(lab.servers()["mbx1.contoso.lab"]["faults"])
        wrong = exmedic("lab", "break", "mbx1", "heals_itself", "-o", "minutes", *place)
        assert (wrong.code, "'minutes' is not NAME=VALUE" in wrong.said) == (2, True)
