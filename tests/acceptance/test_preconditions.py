"""What the page forgets, over the real protocols: a server that must be left alone is, and a site is kept served."""

from collections.abc import Mapping

import pytest

from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import MONITOR, Site

RESOLVED, ESCALATED = IncidentStatus.RESOLVED, IncidentStatus.ESCALATED

#: By server: what is the matter with it, its options, and how the incident must begin to explain itself.
LEFT_ALONE: Mapping[str, tuple[Fault, dict[str, object], str]] = {
    "mbx1": (Fault.MAINTENANCE, {"form": "server_wide_offline"}, "restart: refused: ServerWideOffline"),
    "mbx2": (Fault.MAINTENANCE, {"form": "hub_transport"}, "restart: refused: HubTransport"),
    "mbx3": (Fault.MAINTENANCE, {"form": "activation"}, "restart: refused: activation is already blocked"),
    "mbx4": (Fault.MAINTENANCE, {"form": "policy"}, "restart: refused: the activation policy"),
    "mbx5": (Fault.NODE_PAUSED, {}, "restart: refused: the cluster node"),
    "mbx6": (Fault.ROLES_DIFFER, {}, "restart: refused: the inventory calls"),
    "alone1": (Fault.START_TYPE, {"start_type": "Manual"}, "restart: refused: MSExchangePOP3BE on alone1"),
}

KEPT: Mapping[str, tuple[Fault, dict[str, object], str]] = {
    "mbx1": (Fault.REPLICATION_FAILED, {}, "reboot.move: refused: Test-ReplicationHealth"),
    "mbx2": (
        Fault.REBOOT_PENDING,
        {},
        "reboot.move: refused: a reboot of mbx2.contoso.lab is pending for Windows Update",
    ),
    "mbx4": (Fault.RECOVERY_RECENT, {"action": "ForceReboot"}, "reboot.move: refused: Managed Availability acted"),
}


async def ended(site: Site, count: int) -> dict[str, Incident]:
    """By server, the incident of each alert, once all have ended; those of other monitors are left out."""
    found: dict[str, Incident] = {}

    async def over(store: Store) -> bool:
        wanted = [i for i in await store.incidents() if i.monitor in (MONITOR, "PopProxyTestMonitor") and not i.parent]
        found.update({incident.server.partition(".")[0]: incident for incident in wanted})
        return len(found) == count and all(i.status is not IncidentStatus.OPEN for i in found.values())

    await site.until(over, f"{count} incidents ended")
    return found


@pytest.mark.parametrize(("world", "effects"), [(LEFT_ALONE, []), (KEPT, ["restart"])], ids=["left alone", "kept"])
async def test_a_refusal_names_its_reason_and_nothing_more_is_done(
    site: Site, world: Mapping[str, tuple[Fault, dict[str, object], str]], effects: list[str]
) -> None:
    for server, (fault, options, _) in world.items():
        site.lab.break_server(server, Fault.INCURABLE)
        site.lab.break_server(server, fault, **options)
    daemon = await site.daemon()
    await site.alert(*world)
    incidents = await ended(site, len(world))
    assert await daemon.stop() == 0
    for server, (_, _, reason) in world.items():
        incident = incidents[server]
        assert (incident.status, site.effects_of(incident)) == (ESCALATED, effects), incident.reason
        assert incident.reason.startswith(reason), incident.reason
    await site.agrees()


async def test_a_client_access_server_is_rebooted_only_where_another_one_serves_its_site(site: Site) -> None:
    for server in ("cas1", "cas3"):
        site.lab.break_server(server, Fault.REBOOT_CURES, monitor="PopProxyTestMonitor")
    site.lab.break_server("cas3", Fault.OTHER_CAS_SICK)
    daemon = await site.daemon()
    await site.alert("cas1", "cas3", health_set="POP.Proxy", monitor="PopProxyTestMonitor")
    incidents = await ended(site, 2)
    assert await daemon.stop() == 0
    assert incidents["cas1"].status is RESOLVED, incidents["cas1"].reason
    assert site.effects("cas1") == ["restart", "reboot"]
    assert incidents["cas3"].status is ESCALATED
    assert "no other Client Access server of Nantes is healthy: " in incidents["cas3"].reason
    assert site.effects("cas3") == ["restart"]
    await site.agrees()
