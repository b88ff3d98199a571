"""A wrong password in the whole daemon: alerts of many servers, retries and restarts, and one refused logon."""

from daemon.domain.audit import AuditKind
from daemon.domain.store import Store
from daemon.exchange.logons import REST
from daemon.lab.faults import Fault
from tests.acceptance.driven import DaemonProcess
from tests.acceptance.site import Site

SERVERS = ("mbx1", "mbx2", "mbx3", "mbx4")


async def _paged(store: Store) -> bool:
    return any(row.entry.kind is AuditKind.LOGON_REFUSED for row in await store.audit_after(0, 10_000))


async def _killed_and_restarted(site: Site, daemon: DaemonProcess) -> DaemonProcess:
    daemon.kill()
    return await site.daemon()


async def test_a_wrong_password_costs_a_logon_each_quarter_of_an_hour_and_one_page(site: Site) -> None:
    secret = site.directory / "lab.password"
    right = secret.read_text()
    secret.write_text("wrong-Passw0rd\n")
    for server in SERVERS:
        site.lab.break_server(server, Fault.RESTART_CURES)
    daemon = await site.daemon()
    began = site.lab.clock.now()
    for server in SERVERS:
        await site.alert(server)
    await site.until(_paged, "a human is told")
    code, status = await site.command("status")
    assert code == 0, status
    assert "no logon with [credentials.lab]" in " ".join(status.split())
    for _ in range(2):
        daemon = await _killed_and_restarted(site, daemon)
    passed = site.lab.clock.now() - began
    assert 1 <= site.lab.refused_logons() <= passed // REST + 1
    assert len(await site.audit(AuditKind.LOGON_REFUSED)) == 1
    secret.write_text(right)
    await site.eventually(lambda: bool(site.lab.reads()), "another password is tried")
    refused = site.lab.refused_logons()
    await site.until_ended(*SERVERS)
    assert site.lab.refused_logons() == refused
    assert "no logon" not in (await site.command("status"))[1]
    assert "wrong-Passw0rd" not in daemon.words()
