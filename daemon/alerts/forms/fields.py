"""The fields of a record, whatever route it came by: names in any case, and values that PowerShell wrapped."""

from typing import Any, Final

from daemon.alerts.forms.rejected import Rejected
from daemon.domain.values import Json

#: What stands where there is nothing: SCOM's command channel writes the first.
_NOTHING: Final = frozenset({"", "not present", "null", "(null)", "n/a", "none"})

_WRAPPINGS: Final = ("value", "guid", "id", "datetime")  #: what Windows PowerShell 5.1 hangs its additions on


class Fields:
    """A record by its fields' names, without regard to case. The name as it is asked for goes before other spellings.

    `Id` and `id` may both be there: a publisher adds fields of its own beside SCOM's.
    """

    def __init__(self, record: Json) -> None:
        self._exact = record
        self._folded: dict[str, list[str]] = {}
        for name in record:
            self._folded.setdefault(name.lower(), []).append(name)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._folded

    def value(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        """The value of a field, unwrapped; None where there is nothing.

        Raises:
            Rejected: it is there in two other spellings, with two values.
        """
        spellings = [name] if name in self._exact else self._folded.get(name.lower(), [])
        values = [_unwrapped(self._exact[spelling]) for spelling in spellings]
        if any(value != values[0] for value in values):
            raise Rejected(f"the field {name} is given twice, as {' and '.join(spellings[:2])}")
        return values[0] if values else None

    def text(self, name: str) -> str:
        """The value as text; empty where there is nothing, or nothing that is text."""
        value = self.value(name)
        return "" if value is None or isinstance(value, list | dict) else str(value)

    def table(self, name: str) -> Json:
        """The value as a record; an empty one where it is none."""
        spelling = next(iter(self._folded.get(name.lower(), [])), "")
        value = self._exact.get(spelling)
        return value if isinstance(value, dict) else {}


def _unwrapped(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        folded = {name.lower(): inner for name, inner in value.items()}
        inner = next((folded[name] for name in _WRAPPINGS if name in folded), value)
        return value if isinstance(inner, dict) else _unwrapped(inner)
    if not isinstance(value, str):
        return value
    text = value.strip()
    unfilled = text.startswith("$") and text.endswith("$")  # a variable of the command channel that had no value
    return None if text.lower() in _NOTHING or unfilled else text
