"""Records with everything filled in that a test does not care about, and every read of a store at once."""
# ruff: noqa: ANN401 - `changes` are fields of the record, checked by its constructor at run time

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from daemon.domain.alerts import Alert, Received, Source
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.causes import Cause, CauseKind
from daemon.domain.commits import (
    AlertChanges,
    Aside,
    Channel,
    Commit,
    Deferred,
    GuardChanges,
    Outgoing,
    Progress,
    Told,
)
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.store import Store
from daemon.domain.values import Json
from daemon.domain.windows import Span, Window, WindowKind
from statemachines.actions import Effect

Part = TypeVar("Part", Progress, AlertChanges, GuardChanges, Told)

NOW = datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC)
SERVER = "mbx1.contoso.lab"
OTHER = "mbx2.contoso.lab"
MONITOR = "PopDeepTestMonitor"
EVERYTHING = 10_000


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def alert(**changes: Any) -> Alert:
    sample = Alert(
        source=Source.SCOM,
        source_id="5a2f",
        server="MBX1",
        health_set="POP.Protocol",
        monitor=MONITOR,
        raised_at=NOW - timedelta(minutes=3),
        closed=False,
        summary="POP.Protocol Health Set unhealthy",
        names=(SERVER, "MBX1"),
        hints=("watcher1.contoso.lab",),
        resolution_state=249,
        state="Acknowledged",
        owner="CONTOSO\\anna",
        in_maintenance=True,
    )
    return replace(sample, **changes)


def received(key: str, **changes: Any) -> Received:
    sample = Received(
        topic="alerts/scom/mbx1",
        payload=b'{"Id":"5a2f"}',
        size=13,
        dedup_key=key,
        received_at=NOW,
        alert=alert(),
    )
    return replace(sample, **changes)


def unreadable(key: str, **changes: Any) -> Received:
    return received(key, alert=None, rejection="not JSON: line 1", **changes)


def incident(incident_id: str = "i1", **changes: Any) -> Incident:
    sample = Incident(
        id=incident_id,
        key=Key.of(SERVER, "POP.Protocol", MONITOR),
        health_set="POP.Protocol",
        monitor=MONITOR,
        status=IncidentStatus.OPEN,
        state="verify",
        produced={"verify": {"probe": {"at": 1.5, "tags": ["a", "b"], "ok": True, "none": None}}},
        opened_at=NOW,
        due_at=NOW,
    )
    return replace(sample, **changes)


def on(server: str, incident_id: str, **changes: Any) -> Incident:
    return incident(incident_id, key=Key.of(server, "POP.Protocol", MONITOR), **changes)


def step(step_id: str = "s1", **changes: Any) -> Step:
    sample = Step(
        id=step_id,
        incident_id="i1",
        number=1,
        state="restart",
        action="restart_service",
        effect=Effect.DISRUPTIVE,
        server=SERVER,
        executor=SERVER,
        params={"service": "MSExchangePOP3BE"},
        baseline={"pid": 4711},
        started_at=NOW,
        deadline_at=later(600),
    )
    return replace(sample, **changes)


def undo_item(item_id: str = "u1", **changes: Any) -> UndoItem:
    sample = UndoItem(
        id=item_id,
        incident_id="i1",
        server=SERVER,
        setting="activation",
        earlier={"value": False},
        applied={"value": True},
    )
    return replace(sample, **changes)


def quarantine(**changes: Any) -> Quarantine:
    sample = Quarantine(server=SERVER, incident_id="i1", step_id="s1", reason="answer lost", since=NOW)
    return replace(sample, **changes)


def deferred(server: str = SERVER, **changes: Any) -> Deferred:
    sample = Deferred(
        key=Key.of(server, "POP.Protocol", MONITOR),
        health_set="POP.Protocol",
        monitor=MONITOR,
        why=Aside.AFRESH,
        reason="maintenance patching until 04:00",
        since=NOW,
        not_before=later(60),
    )
    return replace(sample, **changes)


def window(name: str = "patching", **changes: Any) -> Window:
    sample = Window(
        kind=WindowKind.MAINTENANCE,
        name=name,
        when=Span(NOW, later(3600)),
        servers=(SERVER,),
        added_at=NOW,
        added_by="ada",
        reason="updates",
    )
    return replace(sample, **changes)


def cause(cause_id: str = "c-1", **changes: Any) -> Cause:
    sample = Cause(
        id=cause_id,
        kind=CauseKind.MONITOR,
        what="PopDeepTestMonitor (POP.Protocol)",
        incidents=("i1", "i2"),
        servers=(SERVER, OTHER),
        since=NOW,
        told=2,
        told_at=NOW,
        covered=("i1", "i2"),
    )
    return replace(sample, **changes)


def entry(message: str = "something was decided", **changes: Any) -> AuditEntry:
    sample = AuditEntry(
        kind=AuditKind.DECISION,
        at=NOW,
        message=message,
        incident_id="i1",
        server=SERVER,
        fields={"verdict": "allow", "facts": {"copies": [1, 2]}},
    )
    return replace(sample, **changes)


def outgoing(topic: str = "exmedic/events", **changes: Any) -> Outgoing:
    sample = Outgoing(channel=Channel.BUS, topic=topic, body={"state": "restart", "name": "Zoë"})
    return replace(sample, **changes)


def runbook(content_hash: str = "abc") -> StoredRunbook:
    return StoredRunbook(hash=content_hash, name="pop-mailbox", text="states: {}\n")


def work(at: datetime = NOW, **changes: Any) -> Commit:
    """A unit of work of these fields, each in the part that has it."""

    def part(record: type[Part]) -> Part:
        return record(**{each.name: changes.pop(each.name) for each in fields(record) if each.name in changes})

    unit = Commit(
        at=at,
        progress=part(Progress),
        alerts=part(AlertChanges),
        guards=part(GuardChanges),
        told=part(Told),
    )
    assert not changes, f"no part of a commit: {sorted(changes)}"
    return unit


async def begin(store: Store, incident_id: str = "i1", server: str = SERVER, step_id: str = "s1") -> Incident:
    """An open incident in the middle of a disruptive step, under its claim."""
    opened = await store.commit(work(incident=on(server, incident_id)))
    assert opened is not None
    intent = step(step_id, incident_id=incident_id, server=server)
    acting = await store.commit(work(incident=opened, claim=(server,), step=intent))
    assert acting is not None
    return acting


async def everything(store: Store) -> Json:
    """All that a store can be asked."""
    incidents = await store.incidents(limit=EVERYTHING)
    read: dict[str, Any] = {
        "incidents": incidents,
        "pending": await store.pending_alerts(EVERYTHING),
        "due": await store.due_incidents(later(45), EVERYTHING),
        "next_due": await store.next_due(),
        "quarantines": await store.quarantines(),
        "claims": await store.claims(),
        "on_server": await store.on_server(SERVER),
        "causes": await store.causes(),
        "causes_of": await store.causes_of(["i1", "i2", "i3"]),
        "windows": [await store.windows(later(-EVERYTHING)), await store.windows(later(30))],
        "deferred": [await store.deferred(later(45), EVERYTHING), await store.deferred(later(900), EVERYTHING)],
        "alerts": await store.alerts(limit=EVERYTHING),
        "notices": await store.notices(),
        "audit": await store.audit_after(0, EVERYTHING),
        "ledger": await store.ledger(),
        "cursor": await store.cursor("journal"),
    }
    read |= {status.value: await store.incidents(status, EVERYTHING) for status in IncidentStatus}
    read |= {channel.value: await store.outbox(channel, EVERYTHING) for channel in Channel}
    for each in incidents:
        read[f"incident {each.id}"] = {
            "incident": await store.incident(each.id),
            "current": await store.current_incident(each.key),
            "alerts": await store.alerts_of(each.id),
            "open_step": await store.open_step(each.id),
            "steps": await store.steps(each.id),
            "undo": await store.undo_items(each.id),
            "audit": await store.audit_of(each.id),
            "runbook": await store.runbook(each.runbook_hash),
        }
    for server in (SERVER, OTHER):
        read[f"changed on {server}"] = await store.changed_on(server)
    for scope in (SERVER, OTHER, "dag:dag1"):
        read[f"scope {scope}"] = (await store.claim_holder(scope), await store.quarantine(scope))
    return read
