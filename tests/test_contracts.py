"""The contracts of pyproject.toml can fail: an import the wrong way, planted in a copy, is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Where a forbidden import is planted, what it imports, and the contract that must refuse it.
PLANTED = {
    "up a layer": ("daemon/outgoing/outbox.py", "daemon.remediation.runner.turn", "Rooms of daemon/"),
    "into a room beside it": ("daemon/exchange/client.py", "daemon.config.settings", "Rooms of daemon/"),
    "from the runtime into the domain": ("daemon/runtime/loops.py", "daemon.domain.incidents", "Rooms of daemon/"),
    "from a lower floor of remediation": (
        "daemon/remediation/actions/verify.py",
        "daemon.remediation.guardrails.chain",
        "Floors of daemon/remediation",
    ),
    "from the lab into the answers": ("daemon/lab/handlers.py", "daemon.exchange.answers", "The lab answers by itself"),
    "from an adapter into what decides": (
        "daemon/adapters/sqlite/store.py",
        "daemon.remediation.incidents.engine",
        "Adapters decide nothing",
    ),
    "from statemachines into the daemon": (
        "statemachines/actions.py",
        "daemon.domain.values",
        "statemachines knows nothing of the daemon",
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the contracts are about."""
    copy = tmp_path_factory.mktemp("house")
    for name in ("daemon", "statemachines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def verdicts(house: Path) -> dict[str, str]:
    """KEPT or BROKEN, by the first words of each contract."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    # The copy is looked at, not what is installed.
    environment = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "500", "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(command, cwd=house, env=environment, check=False, capture_output=True, text=True)
    lines = [line.rsplit(maxsplit=1) for line in told.stdout.splitlines() if line.endswith((" KEPT", " BROKEN"))]
    assert lines, told.stdout + told.stderr
    return {name: verdict for name, verdict in lines}  # noqa: C416 - pairs of exactly two


def test_the_house_as_it_is_keeps_its_contracts(house: Path) -> None:
    assert set(verdicts(house).values()) == {"KEPT"}


@pytest.mark.parametrize("kind", PLANTED)
def test_an_import_the_wrong_way_is_refused(house: Path, kind: str) -> None:
    path, imports, contract = PLANTED[kind]
    planted = house / path
    before = planted.read_text()
    planted.write_text(f"{before}\nimport {imports}\n")
    try:
        told = verdicts(house)
    finally:
        planted.write_text(before)
    assert [name for name, verdict in told.items() if verdict == "BROKEN" and name.startswith(contract)], told


def test_a_room_without_a_place_is_refused(house: Path) -> None:
    attic = house / "daemon" / "attic"
    attic.mkdir()
    (attic / "__init__.py").write_text('"""A room that nobody gave a place."""\n')
    try:
        command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
        environment = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "500"}
        told = subprocess.run(command, cwd=house, env=environment, check=False, capture_output=True, text=True)
    finally:
        shutil.rmtree(attic)
    assert told.returncode != 0
    assert "attic" in told.stdout
