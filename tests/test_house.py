"""House rules that no linter knows: one importer for each vendor library, small modules and functions, plain names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for folder in ("daemon", "statemachines") for path in (ROOT / folder).rglob("*.py"))

#: Who may import a library that talks to the outside, or that is fenced for another reason.
IMPORTERS = {
    "aiomqtt": {f"daemon/adapters/mqtt/{part}.py" for part in ("bus", "client", "connection", "publish")},
    "paho": {"daemon/adapters/mqtt/client.py", "daemon/adapters/mqtt/connection.py"},
    "winrm": {"daemon/adapters/winrm/conversation.py"},
    "requests": {"daemon/adapters/winrm/conversation.py"},
    "requests_credssp": {"daemon/adapters/winrm/conversation.py"},
    "sqlite3": {
        f"daemon/adapters/sqlite/{part}.py"
        for part in ("backup", "connection", "file", "guard_rows", "notice_writes", "pruning", "rows", "writes")
    },
    "apprise": {"daemon/adapters/apprise.py"},
    "poplib": {"daemon/adapters/pop3.py"},
    "transitions": {"statemachines/compiler.py"},
    "spnego": {"daemon/lab/security.py"},
    "iotcore": {"daemon/lab/broker.py"},
    "tree_sitter": {"daemon/config/toml.py"},
    "tree_sitter_toml": {"daemon/config/toml.py"},
    "tomlkit": {"daemon/config/inventory_edit.py"},
    "ruamel": {"statemachines/yaml_source.py"},
}

#: The parts of the store, by the names of the adapters' files.
STORE_PARTS = {
    "alerts": "AlertStore",
    "incidents": "IncidentStore",
    "guardrails": "GuardrailStore",
    "outbox": "OutboxStore",
    "trail": "TrailStore",
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_fenced_library_has_only_its_own_importers(library: str) -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if any(name.partition(".")[0] == library for name in imported(path))
    }
    assert importers <= IMPORTERS[library]
    assert importers, f"nothing imports {library}: strike it from the list and from pyproject"


def test_only_the_composition_root_names_adapters() -> None:
    naming = {
        str(path.relative_to(ROOT).parent)
        for path in MODULES
        if not str(path.relative_to(ROOT)).startswith("daemon/adapters/")
        and any(name.startswith("daemon.adapters") for name in imported(path))
    }
    assert naming == {"daemon/app"}


def verbs(path: Path, name: str) -> set[str]:
    """The public methods that a class itself defines."""
    (found,) = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    return {
        node.name for node in found.body if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
    }


@pytest.mark.parametrize("part", STORE_PARTS)
def test_each_part_of_the_store_is_a_file_by_the_same_name_in_both_adapters(part: str) -> None:
    asked = verbs(ROOT / "daemon" / "domain" / "store.py", STORE_PARTS[part])
    assert asked
    for adapter in ("adapters/sqlite", "testing/memory"):
        assert verbs(ROOT / "daemon" / adapter / f"{part}.py", part.capitalize()) == asked


def test_a_room_is_given_its_part_of_the_store_and_only_who_holds_it_or_asks_for_all_of_it_names_the_whole() -> None:
    naming = {
        str(path.relative_to(ROOT))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "daemon.domain.store"
        if "Store" in {alias.name for alias in node.names}
    }
    assert naming == {
        "daemon/app/assembly.py",
        "daemon/app/offline.py",
        "daemon/operators/commands.py",
        "daemon/simulation/ports.py",
    }


def test_what_lets_other_incidents_run_is_asked_for_that_and_not_for_what_it_works_with() -> None:
    public = {"ensure", "standing", "waits_for"}
    reaching = [
        f"{path.relative_to(ROOT)}:{node.lineno} .{node.attr}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr not in public
        if getattr(node.value, "id", getattr(node.value, "attr", "")) in {"family", "_family"}
    ]
    assert not reaching


def test_in_a_guardrail_def_decides_and_async_def_reads() -> None:
    reading = [
        f"{path.name}:{node.lineno} {function.name}"
        for path in (ROOT / "daemon" / "remediation" / "guardrails").glob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr in {"store", "pause", "shell", "ladders"}
    ]
    assert not reading


def test_nothing_imports_systemd_by_that_name() -> None:
    # The folder of units at the top would be imported in its place, and empty.
    assert not [path for path in MODULES if any(name.partition(".")[0] == "systemd" for name in imported(path))]
    assert not (ROOT / "systemd" / "__init__.py").exists()


def logged(path: Path) -> Iterator[ast.Call]:
    """The calls of a module's logger, which the test after the next holds to its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
            yield node


def test_a_log_event_is_a_name_and_what_is_to_be_said_of_it_are_fields() -> None:
    calls = [(path, call) for path in MODULES for call in logged(path)]
    assert len(calls) > 40
    prose = [
        f"{path}:{call.lineno}"
        for path, call in calls
        if [type(each) for each in call.args] != [ast.Constant]
        or not re.fullmatch(r"[a-z]+(_[a-z]+)*", str(getattr(call.args[0], "value", "")))
    ]
    assert not prose


def test_a_logger_is_called_log_and_bears_the_name_of_exmedic() -> None:
    made = [
        (path, node)
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and "structlog.get_logger(" in ast.unparse(node)
    ]
    wrong = [
        f"{path}:{node.lineno}"
        for path, node in made
        if not re.fullmatch(r"_log = structlog\.get_logger\('exmedic\.[a-z_]+'\)", ast.unparse(node))
    ]
    assert not wrong
    assert sum(path.read_text().count("structlog.get_logger(") for path in MODULES) == len(made), "one a module, on top"


def test_no_function_is_written_twice() -> None:
    where: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
                body = node.body[ast.get_docstring(node) is not None :]
                where.setdefault("".join(map(ast.dump, body)), []).append(f"{path}:{node.lineno} {node.name}")
    assert not [found for body, found in where.items() if len(found) > 1 and len(body) > SHORT]


#: Characters of a syntax tree; what is shorter may well be the same by chance.
SHORT = 250


def test_modules_and_functions_stay_small_and_names_stay_plain() -> None:
    long_modules = [str(path) for path in MODULES if len(path.read_text().splitlines()) > 400]
    assert not long_modules
    long_functions = [
        f"{path}:{node.lineno} {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST.get(node.name, 50)
    ]
    assert not long_functions
    assert not [path for path in MODULES if path.stem in {"utils", "helpers", "common", "manager"}]


#: The composition root is one list of parts; cut up, it would have to be read in pieces.
LONGEST = {"assemble": 80}


#: Of daemon/exchange, what says by which way Exchange is asked; the rooms that decide know the answers only.
WAY = {"catalogue", "envelope", "launch", "logons", "sessions"}


@pytest.mark.parametrize("room", ["daemon/domain", "daemon/alerts", "daemon/remediation", "statemachines"])
def test_a_room_that_decides_does_not_know_by_which_way_exchange_is_asked(room: str) -> None:
    modules = [path for path in MODULES if path.is_relative_to(ROOT / room)]
    assert modules
    known = {name for path in modules for name in imported(path)}
    assert not known & {f"daemon.exchange.{part}" for part in WAY}
    words = re.compile(r"PSSession|ConnectionUri|Microsoft\.Exchange/|powershell\.exe", re.IGNORECASE)
    assert [path.name for path in modules if words.search(path.read_text("utf-8"))] == []
