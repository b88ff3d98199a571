"""What a campaign has found so far, in a file: one that is cut off goes on from there.

One line of JSON each, the first one says of which code. What other code had come to proves nothing of this one.
"""

import hashlib
import json
from pathlib import Path

from daemon.domain.values import Json

_HOUSE = Path(__file__).parent.parent
_SOURCES = frozenset({".py", ".yaml", ".ps1", ".cs", ".sql"})


def code(*more: Path) -> str:
    """A hash of all that is installed, and of what is in `more`: the same while none of it has changed."""
    rooms = (_HOUSE, _HOUSE.parent / "statemachines", *more)
    found = sorted(path for room in rooms for path in room.rglob("*") if path.suffix in _SOURCES)
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in found)).hexdigest()


class Kept:
    """Results by what they are of. Without a path nothing is kept, and everything is new."""

    def __init__(self, path: Path | None, of: str) -> None:
        self._path = path
        self._found: dict[str, Json] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if not lines or lines[0] != json.dumps({"code": of}):
            path.write_text(json.dumps({"code": of}) + "\n", "utf-8")
            return
        for line in lines[1:]:
            try:
                told = json.loads(line)
            except ValueError:  # it was cut off in the middle of the line
                continue
            self._found[told["of"]] = told["found"]
        if lines[-1][-1:] != "}":
            self._append("")  # what is added now gets a line of its own

    def __len__(self) -> int:
        return len(self._found)

    def get(self, of: object) -> Json | None:
        """What was found before; None when it is still to be played."""
        return self._found.get(str(of))

    def add(self, of: object, found: Json) -> None:
        """Keep what has just been found."""
        self._found[str(of)] = found
        self._append(json.dumps({"of": str(of), "found": found}))

    def _append(self, line: str) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
