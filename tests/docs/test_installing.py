"""The page that installs exmedic, on a Debian machine that has nothing but what every such machine has."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, block, code

PAGE = ROOT / "docs" / "install.md"
INSTALL = block(PAGE, "Install")


def packages(before: str) -> set[str]:
    """What the page has installed by apt-get until it comes to a line."""
    page = list(code(PAGE))
    lines = [line.split() for line in page[: page.index(before)]]
    return {word for words in lines if words[:2] == ["apt-get", "install"] for word in words[2:]}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine without any directory of its own, where the page's files have been installed."""
    for line in INSTALL:
        words = shlex.split(line)
        if words[0] == "install":
            # Word for word, but for the root.
            subprocess.run([*words[:-1], f"{tmp_path}{words[-1]}"], cwd=ROOT, check=True, timeout=30)
    return tmp_path


def test_each_file_and_directory_is_installed_where_there_is_no_directory_yet(machine: Path) -> None:
    unit = machine / "etc/systemd/system/exmedic.service"
    assert unit.read_bytes() == (ROOT / "systemd" / "exmedic.service").read_bytes()
    assert (machine / "etc/exmedic/secrets").stat().st_mode & 0o777 == 0o700


def test_what_is_installed_makes_the_user_and_the_catalogue(machine: Path) -> None:
    for command in (["systemd-sysusers", f"--root={machine}"], ["journalctl", "--update-catalog", f"--root={machine}"]):
        assert command[0] in {shlex.split(line)[0] for line in INSTALL}
        (machine / "var/lib/systemd/catalog").mkdir(parents=True, exist_ok=True)  # systemd's own, on every machine
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    users = [line.partition(":")[0] for line in (machine / "etc/passwd").read_text().splitlines()]
    assert users == ["exmedic"]
    assert (machine / "var/lib/systemd/catalog/database").exists()


def test_what_a_minimal_debian_lacks_is_named_before_it_is_needed() -> None:
    assert "python3-venv" in packages("python3 -m venv /opt/exmedic/.venv")
    kerberos = packages("/opt/exmedic/.venv/bin/pip install '.[kerberos]'")
    assert {"gcc", "python3-dev", "libkrb5-dev"} <= kerberos


def test_the_unit_starts_what_the_page_installs() -> None:
    (started,) = [
        line.removeprefix("ExecStart=").split()[0]
        for line in (ROOT / "systemd" / "exmedic.service").read_text("utf-8").splitlines()
        if line.startswith("ExecStart=")
    ]
    assert f"ln -sf {started} /usr/local/bin/exmedic" in INSTALL
    assert f"{Path(started).parent}/pip install ." in INSTALL
