"""`exmedic inventory` against the lab over real WinRM, and what may happen to the file meanwhile."""

import os
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from daemon.app.servers import replace_inventory
from daemon.cli import app
from daemon.config.settings import load_settings
from daemon.domain.errors import ExmedicError, OperatorError
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab

OLD = """
# kept until spring
[servers."OLD1.contoso.lab"]
roles = ["client_access"]
site = "Lyon"
endpoint = "http://127.0.0.1:9/wsman"
credential = "lab"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), LabClock.starting_now(60)) as lab:
        yield lab


@dataclass(frozen=True)
class Site:
    lab: Lab
    config: Path

    @property
    def file(self) -> Path:
        return self.config.parent / "inventory.toml"

    @property
    def servers(self) -> dict[str, Any]:
        servers: dict[str, Any] = tomllib.loads(self.file.read_text("utf-8"))["servers"]
        return servers

    def change(self, change: Callable[[str], str]) -> str:
        self.file.write_text(change(self.file.read_text("utf-8")), "utf-8")
        return self.file.read_text("utf-8")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["inventory", *arguments, "--config", str(self.config)])

    def read(self, *arguments: str) -> Result:
        return self.run("import", "--through", "mbx1", *arguments)


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    config = lab.write_site(tmp_path / "site", broker_port=1)
    config.write_text(config.read_text("utf-8") + "\n[winrm]\ncall_timeout = 600\nattempts = 1\n", "utf-8")
    yield Site(lab, config)
    for name in ("mbx1", "multi1"):
        lab.cure(name)
    assert lab.effects() == ()


def astray(text: str) -> str:
    """An inventory in which a site and a role are wrong, with a server that is not there any more."""
    found = text.replace('dag = "DAG2"\nsite = "Nantes"', 'dag = "DAG2"\nsite = "Paris"  # moved?', 1)
    found = found.replace('roles = ["client_access", "mailbox"]', 'roles = ["mailbox"]')
    assert found.count("Paris") == 1
    return found + OLD


def test_the_difference_is_shown_and_only_write_writes_it_and_only_remove_removes(site: Site) -> None:
    before = site.change(astray)
    shown = site.read()
    assert shown.exit_code == 0, shown.output
    assert "~ mbx5.contoso.lab  site: Paris -> Nantes" in shown.output
    assert "~ multi1.contoso.lab  roles: mailbox -> client_access mailbox" in shown.output
    assert "- old1.contoso.lab" in shown.output
    assert site.file.read_text("utf-8") == before

    site.file.chmod(0o640)
    assert site.read("--write").exit_code == 0
    text = site.file.read_text("utf-8")
    assert 'site = "Nantes"  # moved?' in text
    assert text.endswith(OLD)
    assert site.servers["multi1.contoso.lab"]["tags"] == ["lab"]
    assert site.file.stat().st_mode & 0o777 == 0o640

    assert site.read("--write", "--remove", "old1.contoso.lab").exit_code == 0
    assert "OLD1.contoso.lab" not in site.servers
    assert "# kept until spring" in site.file.read_text("utf-8")
    assert "agrees with Exchange" in site.read("--write").output
    assert sorted(path.name for path in site.file.parent.glob(".inventory*")) == []


def test_what_would_have_mistakes_does_not_take_the_place_of_the_file(site: Site) -> None:
    """A lab's servers are on loopback only, so the endpoint of a new server is one."""
    before = site.change(lambda text: text[: text.index('[servers."alone1')])
    result = site.read("--write")
    assert result.exit_code == 1
    assert "+ alone1.contoso.lab" in result.output
    assert 'servers."alone1.contoso.lab".endpoint is not on loopback' in result.output.replace("\n", " ")
    assert str(site.file) in result.output.replace("\n", "")
    assert site.file.read_text("utf-8") == before


@pytest.mark.parametrize("fault", [Fault.EMPTY_ANSWER, Fault.GARBAGE_ANSWER, Fault.ANSWER_LOST])
def test_a_bad_answer_is_no_reason_to_write(site: Site, fault: Fault) -> None:
    before = site.change(astray)
    site.lab.break_server("mbx1", fault)
    result = site.read("--write", "--remove", "old1.contoso.lab")
    assert isinstance(result.exception, OperatorError)
    assert site.file.read_text("utf-8") == before


WINDOW = """
[[windows]]
kind = "maintenance"
name = "patches"
from = 2026-12-18T18:00:00+01:00
until = 2026-12-18T20:00:00+01:00
servers = ["mbx2"]
"""


def test_the_first_import_names_the_server_that_is_asked_and_how_it_is_reached(site: Site) -> None:
    """Rules and windows may name servers that are not there yet."""
    site.config.write_text(site.config.read_text("utf-8") + WINDOW, "utf-8")
    site.file.unlink()
    refused = site.run("import", "--through", "mbx1.contoso.lab", "--write")
    assert isinstance(refused.exception, OperatorError)
    assert "--endpoint" in str(refused.exception)
    endpoint = site.lab.endpoints["mbx1.contoso.lab"]
    described = ("import", "--through", "mbx1.contoso.lab", "--endpoint", endpoint, "--credential", "lab")
    shown = site.run(*described)
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("+ ") == len(site.lab.endpoints)
    assert not site.file.exists()


@pytest.mark.parametrize(
    ("endpoint", "credential", "told"),
    [
        ("http://192.0.2.1:5985/wsman", "lab", "loopback"),
        ("http://127.0.0.1:1/wsman", "lba", "names no"),
        ("127.0.0.1:1", "lab", "http or https URL"),
    ],
)
def test_a_server_described_against_the_rules_of_the_inventory_is_not_contacted(
    site: Site, endpoint: str, credential: str, told: str
) -> None:
    site.file.unlink()
    reads = site.lab.reads()
    result = site.run("import", "--through", "x.contoso.lab", "--endpoint", endpoint, "--credential", credential)
    assert told in str(result.exception)
    assert site.lab.reads() == reads


@pytest.mark.parametrize("name", ["mbx2.contoso.lab", "stranger.contoso.lab"])
def test_only_what_exchange_does_not_list_can_be_removed(site: Site, name: str) -> None:
    before = site.file.read_bytes()
    result = site.read("--write", "--remove", name)
    assert isinstance(result.exception, OperatorError)
    assert name in str(result.exception)
    assert site.file.read_bytes() == before


def test_mistakes_in_the_file_are_told_before_anything_is_contacted(site: Site) -> None:
    site.change(lambda text: text.replace('site = "Lyon"', "site = 7", 1))
    reads = site.lab.reads()
    assert site.read("--write").exit_code == 2
    assert site.lab.reads() == reads


def test_what_somebody_else_wrote_meanwhile_is_not_written_over(site: Site) -> None:
    read = site.file.read_bytes()
    site.change(lambda text: text + "# mine\n")
    with pytest.raises(OperatorError, match="changed by somebody else"):
        replace_inventory(load_settings(site.config), read, read + b"# theirs\n")
    assert site.file.read_bytes() == read + b"# mine\n"


def test_a_link_stays_a_link_and_the_file_behind_it_is_replaced(site: Site) -> None:
    behind = site.file.rename(site.file.with_name("real.toml"))
    site.file.symlink_to(behind.name)
    read = behind.read_bytes()
    replace_inventory(load_settings(site.config), read, read + b"# new\n")
    assert site.file.is_symlink()
    assert behind.read_bytes() == read + b"# new\n"


def test_the_file_is_whole_when_the_disk_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = site.file.read_bytes()
    settings = load_settings(site.config)
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(ExmedicError, match="No space left"):
        replace_inventory(settings, before, before + b"# new\n")
    assert site.file.read_bytes() == before
    assert list(site.file.parent.glob(".inventory*")) == []


def test_show_lists_every_server_with_its_mode(site: Site) -> None:
    result = site.run("show")
    assert result.exit_code == 0
    for name in site.servers:
        assert name.partition(".")[0] in result.output
    assert result.output.count("auto") == len(site.servers)
