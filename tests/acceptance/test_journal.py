"""The audit trail in a real journal: fields, and a verification that compares the two."""

import sqlite3
from datetime import datetime

from daemon.audit.journal_fields import MESSAGE_IDS
from daemon.domain.audit import AuditKind
from daemon.lab.faults import Fault
from tests.acceptance.site import MONITOR, Site, fqdn
from tests.realparts.journald import Journald
from tests.realparts.waiting import eventually


async def test_each_audit_row_is_an_entry_of_the_journal_and_a_rewritten_row_is_found_by_it(
    site: Site, journald: Journald
) -> None:
    site.configure(('journal = "none"', f'journal = "{journald.socket_path}"'))
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.until_ended("mbx1")
    assert await daemon.stop() == 0
    incident, rows = await site.incident("mbx1"), await site.audit()
    entries = [entry for entry in journald.entries("SYSLOG_IDENTIFIER=exmedic") if "AUDIT_SEQ" in entry]
    assert [(int(entry["AUDIT_SEQ"]), entry["AUDIT_HASH"]) for entry in entries] == [
        (row.seq, row.hash) for row in rows
    ]
    (intent,) = journald.entries(f"MESSAGE_ID={MESSAGE_IDS[AuditKind.INTENT]}")
    about = {
        "INCIDENT_ID": incident.id,
        "SERVER": fqdn("mbx1"),
        "MONITOR": MONITOR,
        "HEALTH_SET": "POP.Protocol",
        "ACTION": "restart_service",
    }
    assert {name: intent[name] for name in about} == about
    moves = journald.entries(f"MESSAGE_ID={MESSAGE_IDS[AuditKind.TRANSITION]}", f"INCIDENT_ID={incident.id}")
    assert [(move["FROM_STATE"], move["TO_STATE"]) for move in moves][:2] == [
        ("verify", "restart"),
        ("restart", "reprobe"),
    ]
    (ended,) = journald.entries(f"MESSAGE_ID={MESSAGE_IDS[AuditKind.RESOLVED]}", f"INCIDENT_ID={incident.id}")
    assert datetime.fromisoformat(ended["AUDIT_AT"]) == incident.ended_at

    code, text = await site.command("audit", "verify")
    assert (code, f"{len(rows)} copies in the journal agree" in " ".join(text.split())) == (0, True), text
    rewrite_the_chain_without_its_last_row(site)
    code, text = await site.command("audit", "verify")
    assert (code, f"row {len(rows)}: the journal has a copy" in " ".join(text.split())) == (1, True), text
    code, text = await site.command("audit", "verify", "--no-journal")
    assert (code, "not compared with a journal" in " ".join(text.split())) == (0, True), text


def rewrite_the_chain_without_its_last_row(site: Site) -> None:
    """What somebody would do who may write the database: the chain that is left is whole in itself."""
    with sqlite3.connect(site.directory / "data" / "exmedic.db") as connection:
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall():
            if "audit" in sql:
                connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    connection.close()


async def test_a_journal_that_is_down_holds_up_no_ladder_and_gets_everything_later(
    site: Site, journald: Journald
) -> None:
    site.configure(('journal = "none"', f'journal = "{journald.socket_path}"'))
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await site.daemon()
    journald.kill()
    await site.alert("mbx1")
    await site.until_ended("mbx1")
    journald.restart()
    rows = await site.audit()

    def everything() -> bool:
        copies = [entry.get("AUDIT_SEQ") for entry in journald.entries("SYSLOG_IDENTIFIER=exmedic")]
        return {str(row.seq) for row in rows} <= set(copies)

    await eventually(everything, "every row is in the journal")
    code, text = await site.command("audit", "verify")
    assert code == 0, text
