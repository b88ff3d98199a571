"""The gates over the lab: what each keeps from being done, and the one sentence with which `show` explains it."""

from collections.abc import Mapping

from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import MONITOR, Site, fqdn
from tests.realparts.waiting import eventually

#: By server: what is the matter beside POP, what is done all the same, and what `exmedic show` says of the next.
HELD: Mapping[str, tuple[tuple[Fault, dict[str, object]] | None, list[str], str]] = {
    "mbx1": (
        (Fault.DEPENDENCY_SICK, {"health_set": "AD"}),
        [],
        "Active Directory (health set AD) is not healthy on mbx1.contoso.lab: ActiveDirectoryConnectivityMonitor is ",
    ),
    "mbx2": (
        (Fault.LOGGED_ON, {}),
        [],
        "logged on to mbx2.contoso.lab: CONTOSO\\jdupont (console)",
    ),
    "mbx3": (None, [], "paused: mbx3.contoso.lab by"),
    "mbx4": (None, ["restart"], "freeze year-end until"),
    "mbx6": (None, ["restart"], "business hours office until"),
    "multi1": (None, [], "mode observe: would restart the Windows service MSExchangePOP3BE"),
}
REFUSED = "the budget is spent: 0 of 0 reboots of mbx5.contoso.lab in 12 hours; a human decides what comes next"


async def test_each_gate_keeps_back_what_it_is_for_and_says_why_with_the_figure_that_decided(site: Site) -> None:
    site.configure(
        ('auto_tags = ["lab"]', 'auto_tags = ["lab"]\nmodes = [{mode = "observe", servers = ["multi1.contoso.lab"]}]'),
        ("[shared_cause]", "[budgets]\nreboots_in_12_hours_server = 0\n\n[shared_cause]"),
    )
    for server, (fault, _, _) in HELD.items():
        site.lab.break_server(server, Fault.INCURABLE, monitor=MONITOR)
        if fault is not None:
            site.lab.break_server(server, fault[0], **fault[1])
    site.lab.break_server("mbx5", Fault.INCURABLE, monitor=MONITOR)
    assert (await site.command("pause", "--server", "mbx3"))[0] == 0
    await site.daemon()
    for name, kind, server in (("year-end", "freeze", "mbx4"), ("office", "business_hours", "mbx6")):
        wanted = ("--kind", kind, "--server", server, "--hours", "24")
        code, text = await site.command("window", "add", name, *wanted)
        assert code == 0, text
    await site.alert(*HELD, "mbx5")
    said: dict[str, list[str]] = {}

    async def held(store: Store) -> bool:
        rows = [row.entry for row in await store.audit_after(0, 10_000) if row.entry.kind is AuditKind.DECISION]
        said.update({fqdn(server): [each.message for each in rows if each.server == fqdn(server)] for server in HELD})
        return all(any(why in each for each in said[fqdn(server)]) for server, (_, _, why) in HELD.items())

    try:
        await site.until(held, "each is held")
    except AssertionError as error:
        raise AssertionError(f"{error}; {said}") from None
    await site.until_ended("mbx5")
    assert {server: site.effects(server) for server in HELD} == {server: done for server, (_, done, _) in HELD.items()}
    code, text = await site.command("show", (await site.incident("mbx1")).id)
    assert code == 0, text
    assert HELD["mbx1"][2] in " ".join(text.split())
    refused = await site.incident("mbx5")
    assert refused.status is IncidentStatus.ESCALATED
    assert site.effects("mbx5") == ["restart", "stop_activation", "allow_activation"]
    assert refused.reason.endswith(REFUSED)
    await site.agrees()


async def test_three_servers_with_one_monitor_are_one_page_and_act_only_once_an_operator_releases_them(
    site: Site,
) -> None:
    site.configure(("servers = 1000\nshare = 1.0", "servers = 3\nshare = 1.0"))
    servers = ("mbx1", "mbx2", "mbx4")
    for server in servers:
        site.lab.break_server(server, Fault.RESTART_CURES)
    await site.daemon()
    async with site.messages() as heard:
        await site.alert(*servers)
        await eventually(lambda: bool(heard.on("exmedic/escalations")), "a page about all of them")
        (page,) = heard.objects("exmedic/escalations")
        assert set(page["servers"]) == {fqdn(server) for server in servers}
        assert [site.effects(server) for server in servers] == [[], [], []]
        code, text = await site.command("status")
        assert code == 0, text
        assert f"shared cause {page['cause']}: PopDeepTestMonitor (POP.Protocol) since" in " ".join(text.split())
        code, text = await site.command("release", page["cause"])
        assert code == 0, text
        await site.until_ended(*servers)
    assert [site.effects(server) for server in servers] == [["restart"]] * 3
    released = [row.entry for row in await site.audit(AuditKind.CAUSE_OVER) if "user" in row.entry.fields]
    assert [entry.fields["cause"] for entry in released] == [page["cause"]]
    assert len(heard.on("exmedic/escalations")) == 1, "PopSelfTestMonitor ails on the same servers, and is no news"
    await site.agrees()


async def test_beyond_the_cap_of_a_minute_alerts_are_verified_later_and_nothing_is_done_before_it_has_settled(
    site: Site,
) -> None:
    site.configure(("[shared_cause]", "[storms]\ndag = 1\n\n[shared_cause]"), ("settling = 1.0", "settling = 400.0"))
    servers = ("mbx1", "mbx2", "mbx3")
    for server in servers:
        site.lab.break_server(server, Fault.RESTART_CURES)
    await site.daemon()
    await site.alert(*servers)
    await site.until_ended(*servers)
    assert [site.effects(server) for server in servers] == [["restart"]] * 3
    suppressed = [row.entry.message for row in await site.audit(AuditKind.ALERT_SUPPRESSED)]
    assert len(suppressed) == 2
    assert all("the cap of 1 incidents a minute in DAG1 is reached" in message for message in suppressed)
    settling = [row.entry for row in await site.audit(AuditKind.DECISION) if "before 400 s" in row.entry.message]
    assert {entry.server for entry in settling} == {fqdn(server) for server in servers}
    await site.agrees()
