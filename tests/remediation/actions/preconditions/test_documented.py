"""docs/preconditions.md says what the code decides."""

from pathlib import Path

import pytest

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse
from daemon.remediation.actions.preconditions.table import BEFORE
from tests.remediation.actions.preconditions.cases import ROWS, Row, table

PAGE = Path(__file__).parents[4] / "docs" / "preconditions.md"


def names(row: Row) -> str:
    return row.precondition.__name__


@pytest.mark.parametrize("row", ROWS, ids=names)
def test_each_precondition_goes_on_good_facts_only(row: Row) -> None:
    assert isinstance(row.precondition(row.good[1]), Allow)
    for words, facts in row.bad:
        assert isinstance(row.precondition(facts), Hold | Refuse), words
    if row.unclear is not None:
        assert isinstance(row.precondition(row.unclear[1]), CannotTell)


def test_every_precondition_that_is_asked_has_its_row_in_the_order_of_asking() -> None:
    asked = {precondition for before in BEFORE.values() for precondition in before}
    order = [row.precondition for row in ROWS]
    assert set(order) == asked
    assert len(order) == len(asked)
    for effect, before in BEFORE.items():
        assert [precondition for precondition in order if precondition in before] == list(before), effect


def test_undo_asks_none_of_them() -> None:
    assert BEFORE["undo"] == ()


def test_the_page_shows_the_table_that_the_code_makes() -> None:
    text = PAGE.read_text("utf-8")
    assert table() in text, f"docs/preconditions.md is out of date; its table must be:\n{table()}"
