"""Forgetting what is old, a slice at a time: each is one transaction, and small, so that nobody waits for it."""

import sqlite3
from collections.abc import Sequence

from daemon.adapters.sqlite import rows, writes
from daemon.adapters.sqlite.file import queries, transaction
from daemon.domain.retention import AuditCut, Prune, Pruned, beginning, forgotten_topic, pruned_entry
from daemon.domain.values import timestamp


def prune(connection: sqlite3.Connection, order: Prune) -> Pruned:
    """See `TrailStore.prune`."""
    with transaction(connection):
        rejected = _rejected(connection, order)
        alerts = _dropped(connection, "drop_suppressed", {"before": timestamp(order.before), "limit": order.limit})
        joined, incidents = _incidents(connection, order)
        cut, audit = _audit(connection, order)
        full = order.limit in {rejected, alerts, joined, incidents, audit}
        pruned = Pruned(rejected=rejected, alerts=alerts + joined, incidents=incidents, audit=audit, more=full)
        if pruned.anything:
            writes.append_audit(connection, [pruned_entry(order, pruned, cut)])
    return pruned


def _rows(connection: sqlite3.Connection, query: str, parameters: rows.Row) -> Sequence[sqlite3.Row]:
    return connection.execute(queries()[query], parameters).fetchall()


def _dropped(connection: sqlite3.Connection, query: str, parameters: rows.Row) -> int:
    """Delete alerts, and count them as dropped: rows with their repetitions."""
    gone = _rows(connection, query, parameters)
    for row in gone:
        writes.tally(connection, f"alerts {row['status']}", -1)
    writes.count(connection, "dropped", sum(row["seen"] for row in gone))
    return len(gone)


def _rejected(connection: sqlite3.Connection, order: Prune) -> int:
    bounds: rows.Row = {
        "before": timestamp(order.rejected_before),
        "most": order.rejected_most,
        "bytes": order.rejected_bytes,
    }
    (cut,) = _rows(connection, "rejected_cut", bounds)
    return _dropped(connection, "drop_rejected", {"id": cut["id"], "limit": order.limit})


def _incidents(connection: sqlite3.Connection, order: Prune) -> tuple[int, int]:
    """How many alerts and incidents went. One with very many alerts loses them first, over several slices."""
    alerts = incidents = 0
    for past in _rows(connection, "past_incidents", {"before": timestamp(order.before), "limit": order.limit}):
        room = order.limit - alerts
        alerts += _dropped(connection, "drop_alerts_of", {"id": past["id"], "limit": room})
        if alerts >= order.limit:
            break
        for query in ("drop_steps", "drop_undo", "drop_incident"):
            connection.execute(queries()[query], {"id": past["id"]})
        writes.tally(connection, f"incidents {past['status']}", -1)
        writes.send(connection, [forgotten_topic(order, past["id"])], order.at)
        incidents += 1
    writes.count(connection, "forgotten", incidents)
    return alerts, incidents


def _audit(connection: sqlite3.Connection, order: Prune) -> tuple[AuditCut, int]:
    """Where the trail is cut now, and how many rows went."""
    (known,) = _rows(connection, "audit_cut", {})
    followed = _rows(connection, "cursor", {"name": order.follower})
    looked_at = {"followed": followed[0]["seq"] if followed else 0, "limit": order.limit}
    old = beginning(map(rows.audit_row, _rows(connection, "old_audit", looked_at)), order.before)
    if not old:
        return AuditCut(known["seq"], known["hash"]), 0
    cut = AuditCut(old[-1].seq, old[-1].hash)
    connection.execute(queries()["cut_audit"], {"seq": cut.seq, "hash": cut.hash})
    connection.execute(queries()["drop_audit"], {"seq": cut.seq})
    return cut, len(old)
