"""A call of a shipped script, run by a real PowerShell: the bytes that would travel to a server, and nothing else.

What stands in front of them is one `Import-Module` of the stubs (`stubs/*.cs`): cmdlets and classes of Windows under
their own names, and a session with Exchange that is a second real PowerShell. They read the world, one JSON document
(`world.py` builds a healthy one), and write what was changed into a journal.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from daemon.exchange import launch

World = Mapping[str, Any]

#: What Windows offers to every script. Get-ClusterNode is there on members of a cluster only.
_WINDOWS = (
    "Get-CimInstance",
    "New-CimSession",
    "New-CimSessionOption",
    "Remove-CimSession",
    "Invoke-CimMethod",
    "Get-WinEvent",
    "Get-Service",
    "Restart-Computer",
    "New-PSSession",
    "New-PSSessionOption",
    "Remove-PSSession",
)
_CLUSTER = "Get-ClusterNode"

#: A call that takes longer has hung: the process is killed.
_HANG = 120.0
_LOOK = 0.1  #: seconds from one look at a call that runs to the next


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and what it did: the journal's lines in their order.

    A line has one of `effect` (it changed something), `refused` (it asked for a change, which provably did not happen)
    or `note` as its first key.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    journal: tuple[Mapping[str, str | None], ...]

    @property
    def effects(self) -> tuple[Mapping[str, str | None], ...]:
        """What was changed."""
        return tuple(line for line in self.journal if "effect" in line)


class StubsFailed(Exception):  # noqa: N818 - what happened, in the past like its kin
    """The stubs could not be compiled by that PowerShell."""


def sources() -> dict[str, str]:
    """The stubs' source text by file name."""
    folder = files("daemon.lab.pwsh") / "stubs"
    return {one.name: one.read_text("utf-8") for one in sorted(folder.iterdir(), key=lambda each: each.name)}


def digest() -> str:
    """The hash of the stubs' sources: what ran over the same can be compared."""
    return hashlib.sha256(json.dumps(sources()).encode()).hexdigest()[:16]


def compiled(pwsh: Path, cache: Path) -> Path:
    """The stubs as one assembly, compiled at the first time only: it is named by the hash of its sources.

    Raises:
        StubsFailed: they do not compile.
    """
    made = cache / f"exmedic-stubs-{digest()}.dll"
    if made.exists():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="compile-") as name:
        _compile(pwsh, Path(name), made)
    return made


def _compile(pwsh: Path, work: Path, made: Path) -> None:
    for name, text in sources().items():
        (work / name).write_text(text, "utf-8")
    # Named as it will be called: an assembly keeps the name that it was compiled under.
    fresh = work / made.name
    paths = ",".join(_quoted(str(work / name)) for name in sources())
    command = f"Add-Type -IgnoreWarnings -Path {paths} -OutputAssembly {_quoted(str(fresh))}"
    ended = subprocess.run(  # noqa: S603 - the program is the caller's, the text is ours
        [pwsh, "-NoProfile", "-NonInteractive", "-Command", command],
        capture_output=True,
        check=False,
        env=_surroundings(work, {}),
    )
    if ended.returncode != 0 or not fresh.exists() or not fresh.stat().st_size:
        said = (ended.stderr + ended.stdout).decode(errors="replace")
        raise StubsFailed(f"{pwsh} could not compile the stubs of the lab; is it a PowerShell 7? It said: {said}")
    fresh.replace(made)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _surroundings(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """An environment of its own: PowerShell keeps caches and pipes in HOME and TMPDIR."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "DOTNET_TC_CallCountingDelayMs": "7530",
        "POWERSHELL_TELEMETRY_OPTOUT": "1",
        "POWERSHELL_UPDATECHECK": "Off",
        **more,
    }


def tell(world: World, folder: Path) -> None:
    """Write the world of a call down, or anew while it runs: whoever reads sees the whole of the old or of the new."""
    fresh = folder / "world.json.new"
    fresh.write_text(json.dumps(world), "utf-8")
    fresh.replace(folder / "world.json")


def journal(folder: Path) -> tuple[Mapping[str, str | None], ...]:
    """What a call has done until now: the lines that are written to their end."""
    text = (folder / "journal").read_text("utf-8")
    return tuple(json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines())


@dataclass(frozen=True, slots=True)
class Shell:
    """A real PowerShell with the stubs: `pwsh` the program, `stubs` the assembly that `compiled` gave."""

    pwsh: Path
    stubs: Path

    def run(
        self,
        call: launch.Launch,
        world: World,
        folder: Path,
        goes_on: Callable[[], bool] = lambda: True,
        limit: float = _HANG,
    ) -> Ended:
        """How a call ended in that world. `folder` is empty and for this call alone; the script's files are in it.

        `goes_on` is asked all the time while it runs; False kills it, and so does the `limit` in seconds.
        """
        command = self._lay_out(world, folder)
        *options, last = _without_policy(call.arguments)
        arguments = [*options, command + ";" + last.removeprefix('"').removesuffix('"')]
        process = subprocess.Popen(  # noqa: S603 - the program is the caller's, the text is ours
            [self.pwsh, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_surroundings(folder, _seen(world, folder)),
            start_new_session=True,
        )
        end = time.monotonic() + limit
        with ThreadPoolExecutor(1) as aside:
            try:
                talk = aside.submit(process.communicate, call.stdin)
                while not wait((talk,), _LOOK).done:
                    if not goes_on() or time.monotonic() > end:
                        _kill(process)
            finally:
                _kill(process)
            stdout, stderr = talk.result()
        return Ended(process.returncode, stdout, stderr, journal(folder))

    def _lay_out(self, world: World, folder: Path) -> str:
        """The folder as that server's disk; returns what stands in front of the call."""
        tell(world, folder)
        (folder / "journal").touch()
        for name, text in world.get("files", {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
            if name in world.get("files_begun", {}):
                begun = datetime.fromisoformat(world["files_begun"][name]).timestamp()
                os.utime(path, (begun, begun))  # .NET takes the older of a file's times for that of its creation
        if not world.get("disk_is_read_only"):
            (folder / "ProgramData").mkdir(exist_ok=True)
        else:
            (folder / "ProgramData").touch()
        cmdlets = [*_WINDOWS, _CLUSTER] if world["hosts"][world["host"]].get("nodes") is not None else list(_WINDOWS)
        names = ",".join(cmdlets)
        return f"Import-Module {_quoted(str(self.stubs))} -Cmdlet {names}"


def _without_policy(arguments: Sequence[str]) -> list[str]:
    """The arguments but for the execution policy, which only Windows has."""
    at = arguments.index("-ExecutionPolicy")
    return [*arguments[:at], *arguments[at + 2 :]]


def _seen(world: World, folder: Path) -> dict[str, str]:
    culture = str(world.get("culture", "en-US"))
    return {
        "LC_ALL": culture.replace("-", "_") + ".UTF-8",
        "ProgramData": str(folder / "ProgramData"),
        "EXMEDIC_STUBS_WORLD": str(folder / "world.json"),
        "EXMEDIC_STUBS_JOURNAL": str(folder / "journal"),
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started: a session's process must not outlive the call."""
    if sys.platform != "win32":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
