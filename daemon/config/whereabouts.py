"""Where a daemon is found: its socket, what pauses it, its store. All that the kill switch has to know.

Not read with the other settings: no mistake in a file may keep anybody from the kill switch, and none of what validates
them is imported, so that it is quick.
"""

from pathlib import Path
from typing import NamedTuple

from daemon.config.toml import read_toml

DATABASE = "exmedic.db"  #: the store's file, in the data directory


class Whereabouts(NamedTuple):
    """Where a daemon listens, what pauses it, and where its store is."""

    socket: Path
    pause_file: Path
    data: Path
    sure: bool = True  #: False: the file cannot be read, or has mistakes that may be about these


DEFAULTS = Whereabouts(
    socket=Path("/run/exmedic/control.sock"), pause_file=Path("/var/lib/exmedic/pause"), data=Path("/var/lib/exmedic")
)


def whereabouts(path: Path) -> Whereabouts:
    """Those of the daemon of a file; the default for each that cannot be told."""
    source = read_toml(path)
    safety = source.values.get("safety", {})
    written = {
        "socket": source.values.get("socket"),
        "pause_file": safety.get("pause_file") if isinstance(safety, dict) else safety,
        "data": source.values.get("data"),
    }
    told = {name: path.absolute().parent / value for name, value in written.items() if isinstance(value, str)}
    mistaken = source.mistakes or any(value is not None for name, value in written.items() if name not in told)
    return DEFAULTS._replace(**told, sure=not mistaken)
