"""Runs a case by a real PowerShell, reads its answer by the daemon's own code, and holds it to what is always true."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.domain.incidents import Step
from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.exchange import launch
from daemon.exchange.envelope import read_answer
from daemon.lab.pwsh.shell import Ended, Shell
from daemon.remediation.actions.contract import Done
from daemon.remediation.actions.reboot import Reboot
from daemon.remediation.runner.replies import NotTried, meaning
from statemachines.actions import ACTIONS
from tests.powershell.case import CHANGING, Among, Case, OneOf
from tests.powershell.organisation import PASSWORD, SITE, STEP, at_last

LOGON = launch.Logon(SITE.username, PASSWORD)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Played:
    """How a case ended: the process, and what the daemon understands of it."""

    ended: Ended
    reply: Reply

    @property
    def outcome(self) -> str:
        """`ok`, an error kind, `lost` for exit 3 without an answer, or what else it is."""
        if self.ended.exit_code == 3:
            return "lost"
        return self.reply.error or self.reply.kind.value

    @property
    def effects(self) -> tuple[str, ...]:
        """What was changed, as a case names it."""
        return tuple(_named(line) for line in self.ended.effects)

    def __str__(self) -> str:
        return (
            f"{self.outcome}: {self.reply.detail}\nresult: {self.reply.result}\nexit {self.ended.exit_code}\n"
            f"stdout: {self.ended.stdout.decode(errors='replace')[:3000]}\n"
            f"stderr: {self.ended.stderr.decode(errors='replace')[:3000]}\n"
            + "\n".join(str(line) for line in self.ended.journal)
        )


def _named(line: Any) -> str:  # noqa: ANN401 - a line of the journal
    parts = {"stop": ("service", "code"), "start": ("service", "code"), "set": ("server", "value")}
    words = [line.get(name) for name in parts.get(line["effect"], ("server", "how"))]
    return " ".join([line["effect"], *(str(word) for word in words if word is not None)])


def cut(stdin: bytes, where: str) -> bytes:
    """What is left of standard input that ends too early."""
    first, _, second = stdin.partition(b"\n")
    if where == "first":
        return first[: len(first) // 2 // 4 * 4]
    if where == "boundary":
        return first
    assert second
    return first + b"\n" + second[: max(4, len(second) // 2 // 4 * 4)]


def play(shell: Shell, case: Case, folder: Path) -> Played:
    """The case, played."""
    call = launch.launch(case.script, STEP, at_last(case.arguments), LOGON if case.logon else None)
    if case.cut:
        call = launch.Launch(call.executable, call.arguments, cut(call.stdin, case.cut))
    ended = shell.run(call, at_last(case.world), folder)
    asked = Call(
        executor=case.host,
        script=case.script,
        args=case.arguments,
        step_id=STEP,
        timeout=60.0,
        read_only=case.script not in CHANGING,
    )
    reply = read_answer(asked, host=case.host, stdout=ended.stdout, stderr=ended.stderr, exit_code=ended.exit_code)
    return Played(ended, reply)


def step_of(case: Case) -> Step:
    """The step that the call would belong to."""
    return Step(
        id=STEP,
        incident_id="i7",
        number=3,
        state="s",
        action="reboot",
        effect=ACTIONS["reboot"].effect,
        server=case.host,
        executor=case.host,
        started_at=_NOW,
        deadline_at=_NOW,
    )


def hold(case: Case, played: Played) -> None:
    """What is true of every call, whatever the case."""
    lines = [line for line in played.ended.stdout.split(b"\n") if line.strip()]
    assert (played.ended.exit_code, len(lines)) in {(0, 1), (3, 0)}, played
    for line in lines:
        assert plain(json.loads(line)), f"a value that versions of PowerShell write differently\n{played}"
    written = played.ended.stdout + played.ended.stderr
    assert PASSWORD.encode() not in written, played
    assert PASSWORD not in repr(played.reply), played
    for secret in case.hidden:
        assert secret not in repr(played.reply), played
    if case.script not in CHANGING:
        assert not played.effects, played
        return
    if played.reply.kind is ReplyKind.OK:
        return
    told = meaning(Reboot(), step_of(case), case.script, played.reply)
    if isinstance(told, NotTried) or (isinstance(told, Done) and told.outcome == "refused"):
        assert not played.effects, f"it says that nothing was tried\n{played}"
    if played.reply.error == "failed":
        assert played.effects, f"it failed, and nothing was tried\n{played}"


def plain(value: object) -> bool:
    """Whether an answer has nothing but objects, lists, texts, whole numbers, true, false and null."""
    if isinstance(value, dict):
        return all(plain(each) for each in value.values())
    if isinstance(value, list):
        return all(plain(each) for each in value)
    return value is None or isinstance(value, str | int)


def fits(expected: Any, found: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether what was expected stands in what was found: of an object some fields, of a list every entry.

    `"*"` is any value that is there.
    """
    if isinstance(expected, OneOf):
        return found in expected.values
    if isinstance(expected, Among):
        return isinstance(found, list) and all(any(fits(one, each) for each in found) for one in expected.entries)
    if expected == "*":
        return found is not None
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            name in found and fits(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(fits, expected, found))
    return type(expected) is type(found) and bool(expected == found)


def judge(case: Case, played: Played) -> None:
    """What the case wants."""
    hold(case, played)
    assert played.outcome in case.outcomes, f"wanted {case.outcomes}\n{played}"
    assert case.says in played.reply.detail, f"wanted {case.says}\n{played}"
    if case.result is not None and played.outcome == "ok":
        assert fits(case.result, played.reply.result), f"wanted {case.result}\n{played}"
    if case.effects is not None:
        wanted = [name if len(name.split()) > 2 else " ".join(name.split()[:2]) for name in case.effects]
        done = [effect if effect in wanted else " ".join(effect.split()[:2]) for effect in played.effects]
        assert done == wanted, f"wanted {wanted}\n{played}"
