"""The unit file, the user and the catalogue, judged by systemd's own tools."""

import re
import subprocess
from pathlib import Path

import pytest

from daemon.adapters.pause_file import PauseFile
from daemon.adapters.systemd.journal import JournalSink
from daemon.audit.journal_fields import MESSAGE_IDS, journal_fields
from daemon.config.settings import Settings
from daemon.domain.audit import AuditKind
from daemon.domain.inventory import Inventory
from tests.audit.rows import entry, rows
from tests.realparts.journald import Journald
from tests.realparts.waiting import HANG

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = UNITS / "exmedic.service"
#: As systemd 252 has it; lower is safer. PrivateUsers= would give 1.2, and hide operators' names; without reading the
#: journal it would be 1.4, and a restored store would go unnoticed.
EXPOSURE = 1.5


def setting(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", SERVICE.read_text(), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists: /opt/exmedic does not on the machine of a test."""
    copy = tmp_path / "exmedic.service"
    text, count = re.subn(r"/opt/exmedic/\.venv/bin/exmedic", "/bin/true", SERVICE.read_text())
    assert count == 1
    copy.write_text(text)
    return copy


def test_systemd_finds_nothing_to_say_about_the_unit(unit: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert (told.stdout + told.stderr, told.returncode) == ("", 0)


def test_systemd_would_have_said_something_about_a_misspelt_key(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    told = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert "ProtectClocks" in told.stderr


def test_the_sandbox_is_not_weaker_than_it_was(unit: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG,
    )
    found = re.search(r"Overall exposure level for exmedic\.service: ([0-9.]+)", told.stdout)
    assert found, told.stdout
    assert float(found[1]) <= EXPOSURE


def test_the_unit_fits_the_daemon() -> None:
    defaults = Settings()
    assert setting("Type") == ["notify"]
    pauses = PauseFile(defaults.safety.pause_file, Inventory(())).directory
    assert setting("StateDirectory") == [f"{defaults.data.name} {pauses.relative_to(defaults.data.parent)}"]
    assert setting("RuntimeDirectory") == [defaults.socket.parent.name]
    assert setting("LogRateLimitIntervalSec") == ["0"]
    (stop,) = setting("TimeoutStopSec")
    assert int(stop.removesuffix("min")) * 60 > defaults.winrm.effect_timeout + 30


def test_the_user_is_created_as_the_unit_names_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "exmedic.sysusers")]
    subprocess.run(command, check=True, capture_output=True, timeout=HANG)
    names = [line.split(":")[0] for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    groups = [line.split(":")[0] for line in (tmp_path / "etc" / "group").read_text().splitlines()]
    assert setting("User") == names == ["exmedic"]
    assert setting("Group") == groups == ["exmedic"]


def catalogue() -> dict[str, str]:
    parts = re.split(r"^-- ([0-9a-f]{32})$", (UNITS / "exmedic.catalog").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_catalogue_explains_each_kind_of_audit_row_and_nothing_else() -> None:
    assert set(catalogue()) == set(MESSAGE_IDS.values())


def test_the_catalogue_only_uses_fields_that_such_an_entry_has() -> None:
    row = rows(entry(fields={"from_state": "verify", "to_state": "restart"}))[0]
    known = set(journal_fields(row))
    for message_id, text in catalogue().items():
        assert set(re.findall(r"@([A-Z_]+)@", text)) <= known, message_id
        assert re.search(r"^Subject: \S", text, re.MULTILINE), message_id
        assert max(len(line) for line in text.splitlines()) <= 110, message_id


def test_only_transitions_speak_of_the_states_between_which_they_are() -> None:
    for kind, message_id in MESSAGE_IDS.items():
        assert ("@FROM_STATE@" in catalogue()[message_id]) == (kind is AuditKind.TRANSITION)


@pytest.fixture
def catalogue_root(tmp_path: Path) -> Path:
    """A root directory in which journalctl finds our compiled catalogue."""
    directory = tmp_path / "usr/lib/systemd/catalog"
    directory.mkdir(parents=True)
    (directory / "exmedic.catalog").write_text((UNITS / "exmedic.catalog").read_text())
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    command = ["journalctl", "--update-catalog", f"--root={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True, timeout=HANG)
    return tmp_path


def explanation(root: Path, message_id: str) -> str:
    command = ["journalctl", "--dump-catalog", f"--root={root}", message_id]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG).stdout


async def test_the_id_of_an_entry_in_the_journal_leads_to_its_explanation(
    journald: Journald,
    catalogue_root: Path,
) -> None:
    sink = JournalSink(journald.socket_path)
    await sink.emit(rows(entry(kind=AuditKind.QUARANTINED))[0])
    sink.close()
    (read,) = journald.entries("SYSLOG_IDENTIFIER=exmedic")
    assert "exmedic release @SERVER@" in explanation(catalogue_root, read["MESSAGE_ID"])
