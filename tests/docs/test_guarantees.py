"""Every promise of docs/guarantees.md has tests, and they exist."""

import ast
import re

import pytest

from tests.docs.markdown import ROOT, rows
from tests.traceability.test_page import functions_in

DOCUMENT = ROOT / "docs" / "guarantees.md"
THINGS = ("Alerts", "Steps", "Escalations", "Audit rows", "Timers")
BREAKING = ["kill -9", "power loss", "broker loss", "full disk", "journald stall", "wrong clock"]


def named_in(cell: str) -> list[tuple[str, bool]]:
    """The tests that a cell names, and whether it says that they run with `make chaos`."""
    return [(name, bool(chaos)) for name, chaos in re.findall(r"`([^`]+)`( \(chaos\))?", cell)]


@pytest.mark.parametrize("thing", THINGS)
def test_each_way_of_breaking_is_told_for_each_thing(thing: str) -> None:
    assert [row[0] for row in rows(DOCUMENT, thing)][: len(BREAKING)] == BREAKING


@pytest.mark.parametrize("heading", [*THINGS, "The store", "The pause"])
def test_every_promise_has_tests_that_exist(heading: str) -> None:
    for when, promise, _, cell in rows(DOCUMENT, heading):
        assert promise, when
        named = named_in(cell)
        assert named, f"{heading}, {when}: promised without a test"
        for name, _ in named:
            file, _, test = name.partition("::")
            assert (ROOT / file).is_file(), f"{heading}, {when}: {file} does not exist"
            assert test in functions_in(file), f"{heading}, {when}: {name} does not exist"


@pytest.mark.parametrize("heading", [*THINGS, "The store", "The pause"])
def test_what_runs_with_make_chaos_only_is_said_so(heading: str) -> None:
    for _, _, _, cell in rows(DOCUMENT, heading):
        for name, chaos in named_in(cell):
            assert chaos == in_chaos(name), name


def in_chaos(name: str) -> bool:
    """Whether a test is marked as one of `make chaos`, by itself or with its whole file."""
    file, _, test = name.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    marks = [
        decorator
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == test
        for decorator in node.decorator_list
    ]
    whole_file = [node for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    return any("pytest.mark.chaos" in ast.unparse(node) for node in [*marks, *whole_file])


def test_a_promise_without_a_test_or_with_a_wrong_mark_would_be_noticed() -> None:
    assert named_in("") == []
    assert named_in("`a.py::b` (chaos)<br>`c.py::d`") == [("a.py::b", True), ("c.py::d", False)]
    assert in_chaos("tests/faults/test_disk.py::test_an_effect_whose_intent_does_not_fit_on_the_disk_is_not_sent")
    assert not in_chaos("tests/docs/test_guarantees.py::test_every_promise_has_tests_that_exist")
