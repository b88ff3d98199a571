"""A small disk of its own for one test: a tmpfs that is really full when it is full."""

import contextlib
import shutil
import subprocess
from pathlib import Path


class SmallDisk:
    """A tmpfs mounted at `directory`. Needs the right to mount: root, and in a container CAP_SYS_ADMIN."""

    def __init__(self, directory: Path, kilobytes: int) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "exmedic-test", str(directory)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert mounted.returncode == 0, (
            f"no tmpfs can be mounted here ({mounted.stderr.strip()}), and these tests need a real full disk: "
            "run them as root, in a container with --cap-add SYS_ADMIN"
        )

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.directory / "filling").open("ab", buffering=0) as file:
            while room := shutil.disk_usage(self.directory).free:
                with contextlib.suppress(OSError):  # somebody else took the last of it
                    file.write(bytes(room))

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.directory / "filling").unlink()

    def remove(self) -> None:
        """Unmount it; what still has a file open on it keeps it until then."""
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)
        self.directory.rmdir()
