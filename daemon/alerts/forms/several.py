"""Several alerts in one message: an array, PowerShell's way to write one, an answer of SCOM's REST API."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from daemon.alerts.forms.rejected import Rejected
from daemon.domain.values import Json

MOST: Final = 1000  #: alerts of one message: they are stored in one transaction


def several(value: object) -> list[Any]:
    """The records in a value; the value itself where it is none of the ways to write several.

    Raises:
        Rejected: there are too many.
    """
    found = list(islice(_each(value), MOST + 1))
    if len(found) > MOST:
        raise Rejected(f"an array of more than {MOST} alerts; publish fewer a message")
    return found


def _each(value: object) -> Iterator[Any]:
    if isinstance(value, dict):
        inner = _listed(value)
        if inner is None:
            yield value
            return
        value = inner
    if isinstance(value, list):
        for each in value:
            yield from _each(each)
    else:
        yield value


def _listed(record: Json) -> list[Any] | None:
    """The list in `{"value": [...], "Count": n}`, or in the columns and rows of a table; None: it is a record."""
    folded = {name.lower(): value for name, value in record.items()}
    if isinstance(folded.get("value"), list) and "id" not in folded:
        return list(folded["value"])
    if isinstance(folded.get("value"), dict) and "count" in folded:
        return [folded["value"]]
    rows, columns = folded.get("rows"), folded.get("tablecolumns", folded.get("columns"))
    if isinstance(rows, list) and isinstance(columns, list):
        names = [_column(each) for each in columns]
        return [dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in rows]
    return None


def _column(column: object) -> str:
    """The field that a column of a table shows."""
    if isinstance(column, dict):
        column = column.get("field", column.get("name", ""))
    return str(column)
