"""A failing probe tells its mailbox's password, in the lab as in life: nothing that the daemon leaves behind has it."""

import json
import sqlite3

from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from daemon.lab.handlers import PROBE_PASSWORD
from tests.acceptance.site import Site
from tests.realparts.journald import Journald


async def test_the_password_that_a_probe_tells_is_in_nothing_that_is_kept_or_sent(
    site: Site, journald: Journald
) -> None:
    site.configure(('journal = "none"', f'journal = "{journald.socket_path}"'))
    site.lab.break_server("alone1", Fault.INCURABLE)
    daemon = await site.daemon()
    async with site.messages() as heard:
        await site.alert("alone1")
        await site.until_ended("alone1")
        incident = await site.incident("alone1")
        assert incident.status is IncidentStatus.ESCALATED
        copy = site.directory / "copy.db"
        shown = await site.command("show", incident.id)
        kept = await site.command("backup", str(copy))
        assert (shown[0], kept[0]) == (0, 0), (shown, kept)
        assert await daemon.stop() == 0
    left = {path.name: path.read_bytes() for path in (site.directory / "data").rglob("*") if path.is_file()}
    left |= {"the backup": copy.read_bytes(), "the log": daemon.words().encode(), "exmedic show": shown[1].encode()}
    left |= {f"the bus, {topic}, {number}": payload for number, (topic, payload) in enumerate(heard.all)}
    left["the journal"] = json.dumps(journald.entries()).encode()
    with sqlite3.connect(copy) as connection:
        left["the backup as text"] = "\n".join(connection.iterdump()).encode()
    connection.close()
    assert not [name for name, what in left.items() if PROBE_PASSWORD.encode() in what]
    left = {name: b" ".join(what.split()) for name, what in left.items()}  # a terminal breaks lines
    assert not [name for name, what in left.items() if PROBE_PASSWORD.encode() in what]
    for name in ("the backup as text", "the journal", "exmedic show"):
        assert b"Password: ***" in left[name], f"{name} does not even tell what the probe said"
    assert heard.objects("exmedic/escalations")
    assert "No connection to MSExchangePOP3BE" in heard.objects("exmedic/escalations")[0]["text"]
