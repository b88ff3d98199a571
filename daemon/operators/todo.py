"""What waits for a human: questions, escalations, quarantines, what is left changed, pauses, windows, rejected alerts.

Pure: what is read of the store and the pauses is given.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.causes import Cause
from daemon.domain.incidents import Incident, IncidentStatus, Quarantine, UndoItem, UndoStatus
from daemon.domain.pauses import Standing
from daemon.domain.values import Json, timestamp
from daemon.domain.windows import Holding
from daemon.operators.rejections import Rejections


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that waits for somebody. `do`: the command to begin with."""

    kind: str
    what: str
    do: str
    since: datetime | None = None

    def as_json(self) -> Json:
        """For machines."""
        return {"kind": self.kind, "since": self.since and timestamp(self.since), "what": self.what, "do": self.do}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What was read. `left` by incident: what it changed and could not put back."""

    incidents: Sequence[Incident] = ()
    left: Mapping[str, Sequence[UndoItem]]
    quarantines: Sequence[Quarantine] = ()
    causes: Sequence[Cause] = ()
    windows: Sequence[Holding] = ()
    pauses: Sequence[Standing] = ()
    rejections: Sequence[Rejections] = ()


def tasks(waiting: Waiting) -> list[Task]:
    """What is to be done, the most pressing kind first, and within a kind what waits longest."""
    kinds = (
        _questions(waiting.incidents),
        (
            Task(kind="quarantine", since=each.since, what=f"{each.server}: {each.reason}", do=f"release {each.server}")
            for each in waiting.quarantines
        ),
        _left(waiting),
        _escalated(waiting.incidents),
        (
            Task(kind="shared cause", since=each.since, what=each.what, do=f"release {each.id}")
            for each in waiting.causes
        ),
        _pauses(waiting.pauses),
        (
            Task(
                kind="rejected alerts",
                since=each.since,
                what=f"the latest {each.count} of {each.form}: {each.reason}",
                do="alert rejected",
            )
            for each in waiting.rejections
        ),
        (Task(kind="window", what=f"{each} ({each.window.scope})", do="window list") for each in waiting.windows),
    )
    return [task for kind in kinds for task in sorted(kind, key=_age)]


def _age(task: Task) -> float:
    return task.since.timestamp() if task.since else 0.0


def _questions(incidents: Iterable[Incident]) -> Iterator[Task]:
    for each in incidents:
        if each.status is IncidentStatus.OPEN and each.question and not each.approval and not each.close_by:
            asked = each.question
            yield Task(kind="question", since=asked.since, what=f"{each.server}: {asked.what}", do=f"approve {each.id}")


def _left(waiting: Waiting) -> Iterator[Task]:
    for each in waiting.incidents:
        items = [item for item in waiting.left.get(each.id, ()) if item.status is UndoStatus.LEFT]
        if items:
            changed = ", ".join(f"{item.setting} on {item.server}" for item in items)
            yield Task(kind="left changed", since=each.ended_at, what=changed, do=f"undo {each.id}")


def _escalated(incidents: Iterable[Incident]) -> Iterator[Task]:
    for each in incidents:
        if each.status is IncidentStatus.ESCALATED and each.latched:
            what = f"{each.monitor or each.health_set} on {each.server}: {each.reason}"
            yield Task(kind="escalation", since=each.ended_at, what=what, do=f"show {each.id}")


def _pauses(pauses: Iterable[Standing]) -> Iterator[Task]:
    for each in pauses:
        if not each.over:
            part = f" --dag {each.scope[4:]}" if each.scope.startswith("dag.") else f" --server {each.scope}"
            what = f"{each.scope or 'everything'} {each.why}"
            yield Task(kind="pause", since=each.since, what=what, do=f"resume{part if each.scope else ''}")
