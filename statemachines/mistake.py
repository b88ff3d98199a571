"""One thing wrong in a file that a person wrote."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a file: where, what, and what to do."""

    file: Path
    line: int  #: counted from 1; 0 when the file as a whole is meant
    message: str
    column: int = 0  #: counted from 1; 0 when the whole line is meant

    def __str__(self) -> str:
        place = str(self.file)
        if self.line:
            place += f":{self.line}" + (f":{self.column}" if self.column else "")
        return f"{place}: {self.message}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known name is close to `name`, else the empty string."""
    names = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
