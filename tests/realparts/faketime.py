"""A system clock that a test can set, for one process: libfaketime in front of its C library."""

from pathlib import Path

_LIBRARY = "faketime/libfaketimeMT.so.1"  # the variant for programs with threads


class SystemClockOf:
    """What a process started with `environment` takes for the system's clock. Its timers go on evenly, as always."""

    def __init__(self, directory: Path) -> None:
        found = next(iter(Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)
        assert found, "libfaketime is not installed, and these tests need it: make system-test"
        self._file = directory / "system-clock"
        self.environment = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set_by(0)

    def set_by(self, seconds: int) -> None:
        """Set it to so many seconds after the true time, or before it."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.replace(self._file)  # at once: a reader of half a file would have no offset
