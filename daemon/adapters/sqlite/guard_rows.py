"""Records of guardrails as rows of the SQLite store and back, as `rows` does it for the others."""

import json
import sqlite3

from daemon.adapters.sqlite.rows import Row
from daemon.domain.causes import Cause, CauseKind
from daemon.domain.commits import Aside, Deferred, Room
from daemon.domain.incidents import Key
from daemon.domain.kept import Taken
from daemon.domain.notices import Notice, NoticeKind
from daemon.domain.values import moment, timestamp
from daemon.domain.windows import Span, Window, WindowKind


def key_row(key: Key) -> Row:
    """The columns that make a key."""
    return {"server": key.server, "health_set_key": key.health_set, "monitor_key": key.monitor}


def deferred_row(deferred: Deferred) -> Row:
    """The columns of deferred."""
    return {
        **key_row(deferred.key),
        "health_set": deferred.health_set,
        "monitor": deferred.monitor,
        "why": deferred.why.value,
        "reason": deferred.reason,
        "since": timestamp(deferred.since),
        "not_before": timestamp(deferred.not_before),
        "taken": None if deferred.taken is None else json.dumps([deferred.taken.why, deferred.taken.alert]),
    }


def deferred(row: sqlite3.Row) -> Deferred:
    """A row of deferred."""
    return Deferred(
        key=Key(row["server"], row["health_set_key"], row["monitor_key"]),
        health_set=row["health_set"],
        monitor=row["monitor"],
        why=Aside(row["why"]),
        reason=row["reason"],
        since=moment(row["since"]),
        not_before=moment(row["not_before"]),
        taken=None if row["taken"] is None else Taken(*json.loads(row["taken"])),
    )


def notice_row(notice: Notice) -> Row:
    """The columns of notices."""
    return {
        "kind": notice.kind.value,
        "about": notice.about,
        "since": timestamp(notice.since),
        "count": notice.count,
        "items": json.dumps(notice.items),
        "alert": notice.alert,
        "told_at": None if notice.told_at is None else timestamp(notice.told_at),
    }


def notice(row: sqlite3.Row) -> Notice:
    """A row of notices."""
    return Notice(
        kind=NoticeKind(row["kind"]),
        about=row["about"],
        since=moment(row["since"]),
        count=row["count"],
        items=tuple(json.loads(row["items"])),
        alert=row["alert"],
        told_at=None if row["told_at"] is None else moment(row["told_at"]),
    )


def window_row(window: Window) -> Row:
    """The columns of windows.

    Raises:
        TypeError: it is weekly, or of the configuration; a mistake of ours.
    """
    if not isinstance(window.when, Span) or window.added_at is None:
        raise TypeError(f"{window.title} is of the configuration; only windows added by command are stored")
    return {
        "name": window.name,
        "added_at": timestamp(window.added_at),
        "kind": window.kind.value,
        "begins": timestamp(window.when.begins),
        "ends": timestamp(window.when.ends),
        "servers": json.dumps(window.servers),
        "dags": json.dumps(window.dags),
        "sites": json.dumps(window.sites),
        "added_by": window.added_by,
        "reason": window.reason,
        "ended_by": window.ended_by,
    }


def window(row: sqlite3.Row) -> Window:
    """A row of windows."""
    return Window(
        kind=WindowKind(row["kind"]),
        name=row["name"],
        when=Span(moment(row["begins"]), moment(row["ends"])),
        servers=tuple(json.loads(row["servers"])),
        dags=tuple(json.loads(row["dags"])),
        sites=tuple(json.loads(row["sites"])),
        added_at=moment(row["added_at"]),
        added_by=row["added_by"],
        reason=row["reason"],
        ended_by=row["ended_by"],
    )


def cause_row(cause: Cause) -> Row:
    """The columns of causes."""
    return {
        "id": cause.id,
        "kind": cause.kind.value,
        "what": cause.what,
        "what_key": cause.what.lower(),
        "incidents": json.dumps(cause.incidents),
        "servers": json.dumps(cause.servers),
        "since": timestamp(cause.since),
        "told": cause.told,
        "told_at": None if cause.told_at is None else timestamp(cause.told_at),
        "covered": json.dumps(cause.covered),
        "ended": None if cause.ended is None else timestamp(cause.ended),
        "ended_by": cause.ended_by,
        "version": cause.version,
    }


def cause(row: sqlite3.Row) -> Cause:
    """A row of causes."""
    return Cause(
        id=row["id"],
        kind=CauseKind(row["kind"]),
        what=row["what"],
        incidents=tuple(json.loads(row["incidents"])),
        servers=tuple(json.loads(row["servers"])),
        since=moment(row["since"]),
        told=row["told"],
        told_at=None if row["told_at"] is None else moment(row["told_at"]),
        covered=tuple(json.loads(row["covered"])),
        ended=None if row["ended"] is None else moment(row["ended"]),
        ended_by=row["ended_by"],
        version=row["version"],
    )


def room_row(room: Room) -> dict[str, str]:
    """What a room counts."""
    return {"servers": json.dumps(room.servers), "since": timestamp(room.since), "until": timestamp(room.until)}
