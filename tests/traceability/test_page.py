"""docs/pop-health-set.md accounts for every step of Microsoft's page, and says nothing that is not so."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from daemon.exchange import launch
from statemachines.compiler import Ladder
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import ENDS
from statemachines.table import RECHECK
from tests.docs.markdown import rows
from tests.traceability.page import CORRECTIONS, DEPENDENCIES, PROBES, SECTIONS, Section

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pop-health-set.md"
SHIPPED = {definition.runbook: definition for definition in load_runbooks(shipped_directory())}
LADDERS = {name: Ladder(definition) for name, definition in SHIPPED.items()}

PROBE_TABLE = "The table of probes and monitors"
MEANT = "What the page says and what it means"
OURS = "What the page does not have"


def step_rows() -> list[list[str]]:
    """(id, words, states, actions, tests) of each step, correction and addition."""
    steps = [row for section in SECTIONS for row in rows(PAGE, section.heading)]
    corrections = [[row[0], f"{row[1]} {row[2]}", *row[3:]] for row in rows(PAGE, MEANT)]
    return [
        *steps,
        *corrections,
        *(["", why, states, actions, tests] for states, actions, why, tests in rows(PAGE, OURS)),
    ]


def named(cell: str) -> list[str]:
    """What stands as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def states_of(cell: str) -> list[tuple[str, str]]:
    """(runbook, state) of each state named in a cell; what is no state is a file."""
    return [(runbook, state) for runbook, _, state in (name.partition(": ") for name in named(cell)) if state]


@cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def exists(reference: str) -> bool:
    """Whether there is such a test: `file::name`."""
    file, _, test = reference.partition("::")
    return (ROOT / file).is_file() and test in functions_in(file)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.letter)
def test_every_numbered_step_of_the_page_has_a_row_with_the_pages_own_command(section: Section) -> None:
    there = {row[0]: row[1] for row in rows(PAGE, section.heading)}
    assert list(there) == [section.letter + step for step in section.steps]
    for step, command in section.steps.items():
        assert command in there[section.letter + step], f"{section.letter}{step}: the page's command is missing"


def test_every_correction_has_a_row_that_quotes_the_page() -> None:
    assert {row[0]: named(row[1])[0] for row in rows(PAGE, MEANT)} == CORRECTIONS


def test_every_probe_and_monitor_is_handled_as_the_table_says() -> None:
    table = rows(PAGE, PROBE_TABLE)
    told = [(row[0].strip("`"), row[1].strip("`"), row[2].strip("`"), row[3].strip("`")) for row in table]
    assert tuple(told) == PROBES
    for (probe, _, monitor, health_set), row in zip(told, table, strict=True):
        handled = SHIPPED[row[4].strip("`")].handled(health_set, monitor)
        assert handled is not None, f"{monitor} is not handled by {row[4]}"
        assert (handled.probe or "none") == probe
        assert handled.depends_on == DEPENDENCIES[monitor]


def test_every_state_that_is_named_exists_and_does_what_is_said_of_it() -> None:
    for step, _, states, actions, _ in step_rows():
        does = set()
        for runbook, state in states_of(states):
            assert runbook in LADDERS, f"{step}: there is no runbook {runbook}"
            if state not in ENDS:
                assert state in LADDERS[runbook].states, f"{step}: {runbook} has no state {state}"
                does.add(LADDERS[runbook].states[state].action.name)
        assert does == set(named(actions)), f"{step or states}: its states do {sorted(does)}"


def test_every_row_is_carried_out_by_something_that_exists() -> None:
    for step, _, states, _, _ in step_rows():
        assert named(states), f"{step} is carried out by nothing"
        for name in named(states):
            assert ": " in name or (ROOT / name).is_file(), f"{step}: {name} does not exist"


def test_every_row_names_tests_that_exist() -> None:
    cells = [(row[0], row[4]) for row in step_rows()] + [(row[2], row[5]) for row in rows(PAGE, PROBE_TABLE)]
    assert [step for step, cell in cells if not named(cell)] == []
    gone = [(step, reference) for step, cell in cells for reference in named(cell) if not exists(reference)]
    assert gone == []


def test_every_state_of_every_shipped_runbook_is_on_the_page_or_said_to_be_ours() -> None:
    there = {pair for row in step_rows() for pair in states_of(row[2])}
    missing = [
        f"{name}: {state}"
        for name, definition in SHIPPED.items()
        for state in definition.states
        if (name, state) not in there
    ]
    assert missing == []


def test_states_that_are_said_to_be_ours_are_in_no_step_of_the_page() -> None:
    of_the_page = {pair for section in SECTIONS for row in rows(PAGE, section.heading) for pair in states_of(row[2])}
    ours = {pair for row in rows(PAGE, OURS) for pair in states_of(row[0])}
    assert ours & of_the_page - {("pop-cas", "undo.cancelled")} == set()
    assert any(state.endswith(RECHECK) for _, state in ours)


def test_names_of_monitors_are_found_in_any_case_and_only_as_meant() -> None:
    assert SHIPPED["pop-mailbox"].handled("pop.protocol", "POPDEEPTESTMONITOR")
    assert SHIPPED["pop-cas"].handled("pop", "POPCTPMonitor")
    assert not SHIPPED["pop-mailbox"].handled("POP.Protocol", "PopTestDeepMonitor")


def test_the_scripts_use_the_parameters_that_are_meant() -> None:
    assert "ProtocolLogEnabled" in launch.load("set_protocol_log").text
    assert "Get-Text $row 'ResultType'" in launch.load("invoke_probe").text
    assert "$row 'Result'" not in launch.load("invoke_probe").text
    for name in launch.NAMES:
        assert "ProtocolLoggingEnabled" not in launch.load(name).text


def test_nothing_moves_databases_back() -> None:
    for name in launch.NAMES:
        text = launch.load(name).text
        assert "Move-ActiveMailboxDatabase" not in text
        assert "RedistributeActiveDatabases" not in text
