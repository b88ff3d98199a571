"""What goes out on the bus and to humans. The outbox adds `seq`, the message's own number, to each bus message."""

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import Channel, Incident, Json, Outgoing, Step, UndoItem, timestamp


def state_message(prefix: str, incident: Incident) -> Outgoing:
    """An incident's latest state, retained on `<prefix>/incidents/<id>`."""
    body = {
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "status": incident.status.value,
        "state": incident.state,
        "waiting_for": incident.waiting_for,
        "due_at": None if incident.due_at is None else timestamp(incident.due_at),
        "opened_at": timestamp(incident.opened_at),
        "ended_at": None if incident.ended_at is None else timestamp(incident.ended_at),
        "reason": incident.reason,
        "latched": incident.latched,
    }
    return Outgoing(channel=Channel.BUS, topic=f"{prefix}/incidents/{incident.id}", body=body, retain=True)


def event_message(prefix: str, incident: Incident, now: datetime, event: Json) -> Outgoing:
    """One transition, on `<prefix>/events`."""
    body = {
        "at": timestamp(now),
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        **event,
    }
    return Outgoing(channel=Channel.BUS, topic=f"{prefix}/events", body=body)


def escalation_text(
    incident: Incident, source: str, steps: Sequence[Step], left: Sequence[tuple[UndoItem, str]], quarantined: bool
) -> str:
    """What an on-call engineer needs: why, what was tried with its evidence, what is left changed, what to do next."""
    lines = [
        f"{incident.monitor} ({incident.health_set}) on {incident.server} needs a human.",
        f"Why: {incident.reason}",
    ]
    lines.append("Tried:" if steps else "Tried: nothing.")
    lines += [
        f"  {step.started_at:%H:%M:%S} {step.state}: {step.action} -> {step.outcome or 'open'}: {step.detail}"
        for step in steps
    ]
    lines.append("Left changed:" if left else "Left changed: nothing.")
    for item, command in left:
        lines += [f"  {item.setting} on {item.server}: {item.reason}", f"    put it back with: {command}"]
    if quarantined:
        lines.append(
            f"{incident.server} is quarantined: nothing will be done to it until you have looked and say "
            f"`exmedic release {incident.server}`."
        )
    if source:
        lines.append(f"Page: {source}")
    lines.append(f"More: exmedic show {incident.id}")
    return "\n".join(lines)


def escalation_messages(prefix: str, incident: Incident, now: datetime, text: str) -> tuple[Outgoing, Outgoing]:
    """An escalation, on `<prefix>/escalations` and to the notification channels."""
    body = {
        "at": timestamp(now),
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "reason": incident.reason,
        "text": text,
    }
    title = f"exmedic: {incident.monitor} on {incident.server} needs a human"
    return (
        Outgoing(channel=Channel.BUS, topic=f"{prefix}/escalations", body=body),
        Outgoing(channel=Channel.NOTIFY, topic=title, body={"text": text, "incident": incident.id}),
    )
