"""What a transaction of the SQLite store writes about notices: more to tell, and that it was told."""

import sqlite3

from daemon.adapters.sqlite.file import queries
from daemon.adapters.sqlite.guard_rows import notice, notice_row
from daemon.domain import conflicts, notices
from daemon.domain.commits import Commit
from daemon.domain.notices import Note, Notice, NoticeKind
from daemon.domain.values import timestamp


def commit(connection: sqlite3.Connection, work: Commit) -> None:
    """What was told first: what comes in the same commit is told another time."""
    for told in work.alerts.told:
        stored = _stored(connection, told.kind, told.about)
        if stored != told and (stored is not None or told.count):
            raise conflicts.notice_moved_on(told.about)
        connection.execute(queries()["put_notice"], notice_row(notices.told(told, work.at)))
    if work.alerts.told:
        edge = {"before": timestamp(work.at - notices.DAY), "now": timestamp(work.at)}
        connection.execute(queries()["forget_notices"], edge)
    for each in work.alerts.notes:
        note(connection, each)


def note(connection: sqlite3.Connection, fresh: Note) -> None:
    """One more alert to tell of; among the others where there are too many notices for one more."""
    known = _stored(connection, fresh.kind, fresh.about)
    if known is None and _count(connection, fresh.kind) >= notices.MOST_NOTICES:
        fresh = notices.as_one(fresh)
        known = _stored(connection, fresh.kind, fresh.about)
    connection.execute(queries()["put_notice"], notice_row(notices.noted(known, fresh)))


def _stored(connection: sqlite3.Connection, kind: NoticeKind, about: str) -> Notice | None:
    found = connection.execute(queries()["notice"], {"kind": kind.value, "about": about}).fetchall()
    return notice(found[0]) if found else None


def _count(connection: sqlite3.Connection, kind: NoticeKind) -> int:
    return int(connection.execute(queries()["notices_of_kind"], {"kind": kind.value}).fetchall()[0]["count"])
