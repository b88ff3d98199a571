"""The process stands still: longer than the watchdog waits, or shorter, while an effect is being sent."""

import pytest

from daemon.cli.pause import UNCONFIRMED
from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.domain.store import Store
from daemon.domain.values import moment
from daemon.lab.faults import Fault
from tests.acceptance.driven import DaemonProcess
from tests.acceptance.site import Site, has_open_step
from tests.acceptance.test_ladders import HEALED
from tests.acceptance.test_operators import waits
from tests.faults.network import Network
from tests.faults.supervisor import freeze, supervised, thaw
from tests.realparts.waiting import eventually


@pytest.fixture
def speed() -> float:
    """Slower than elsewhere: until the watchdog strikes and the next daemon runs, real seconds pass."""
    return 40.0


async def first_request_of_the_restart_is_held(site: Site, network: Network) -> None:
    """Let the network hold what the daemon says first after the intent of the restart is committed."""

    async def intended() -> bool:
        async with site.store() as store:
            return await has_open_step(store, "mbx1", "restart_service")

    site.route({name: await network.endpoint(url) for name, url in site.lab.endpoints.items()})
    network.cut_before_request(1, intended)


async def is_past_not_after(site: Site) -> None:
    """Return when the server's clock is past the moment after which the restart must not begin."""
    async with site.store() as store:
        step = await store.open_step((await site.incident("mbx1")).id)
    assert step is not None
    not_after = moment(str(step.baseline["not_after"]))
    if site.driven:
        site.pass_time((not_after - site.lab.clock.now()).total_seconds())
    await site.eventually(lambda: site.lab.clock.now() > not_after, f"it is later than {not_after}")


async def test_a_process_that_stood_still_while_sending_does_not_restart_too_late(site: Site, network: Network) -> None:
    site.configure(send_window=300.0)
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await first_request_of_the_restart_is_held(site, network)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.eventually(network.struck.is_set, "the request is held")
    freeze(daemon)
    await is_past_not_after(site)
    assert site.effects("mbx1") == []
    network.heal()
    thaw(daemon)
    await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    restarts = [step for step in await site.steps(incident) if step.action == "restart_service"]
    assert [step.status for step in restarts] == [StepStatus.WITHDRAWN, StepStatus.DONE]
    assert "after" in restarts[0].detail, "by the server's own clock it was too late"
    assert [effect.step for effect in site.lab.effects()] == [restarts[1].id]
    await site.agrees()


async def adopted(store: Store) -> bool:
    rows = [row.entry for row in await store.audit_after(0, 100) if row.entry.kind is AuditKind.PAUSED]
    return bool(rows) and rows[-1].fields["user"] == "root"


@pytest.mark.parametrize("speed", [100.0])
@pytest.mark.parametrize(
    ("arguments", "scope", "told"),
    [
        ((), "everything", "paused: by root: smoke"),
        (("--server", "mbx1"), "mbx1.contoso.lab", "paused: mbx1.contoso.lab by root: smoke"),
        (("--dag", "DAG1"), "dag.DAG1", "paused: dag.DAG1 by root: smoke"),
    ],
)
async def test_a_daemon_that_hangs_is_paused_on_the_disk_and_the_one_that_takes_its_place_stays_paused(
    site: Site, arguments: tuple[str, ...], scope: str, told: str
) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    daemon = await site.daemon()
    freeze(daemon)
    code, text = await site.command("pause", *arguments, "--reason", "smoke")
    assert (code, "the daemon has not confirmed" in " ".join(text.split())) == (UNCONFIRMED, True), text
    (file,) = (site.directory / "pause.d").iterdir()
    assert file.name.partition("@")[0] == scope
    daemon.kill()  # as its watchdog would
    await site.daemon()
    await site.alert("mbx1")
    await site.until(lambda store: waits(store, told), "it is held")
    assert site.effects("mbx1") == []

    await site.until(adopted, "who ordered it is on record")
    file.unlink()  # what was ordered, and the daemon knows, ends by no other hand than that of its role
    code, text = await site.command("pause", *arguments, "--reason", "smoke goes on")
    assert code == 0, text
    code, text = await site.command("resume", *arguments)
    assert code == 0, text
    await site.until_ended("mbx1")
    assert site.effects("mbx1") == ["restart"]


async def stands_still(daemon: DaemonProcess, site: Site, effect: str, server: str) -> None:
    await site.eventually(lambda: effect in site.effects(server), f"{effect} is in the lab's record")
    freeze(daemon)


@pytest.mark.chaos
@pytest.mark.parametrize(("script", "effect"), [("restart_service", "restart"), ("reboot", "reboot")])
async def test_a_process_that_hangs_after_an_effect_is_killed_and_the_next_one_goes_on(
    site: Site, script: str, effect: str
) -> None:
    server = "mbx4"
    site.lab.break_server(server, Fault.REBOOT_CURES)
    site.lab.break_server(server, Fault.LATE_ANSWER, script=script, count=1, timeouts=100)
    async with supervised(site) as supervisor:
        assert supervisor.daemon
        await site.alert(server)
        await stands_still(supervisor.daemon, site, effect, server)
        await eventually(lambda: supervisor.restarts == 1, "the watchdog has it killed and started again")
        await site.until_ended(server)
        incident = await site.incident(server)
        assert supervisor.restarts == 1, "it was fed as soon as it ran"
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(server) == HEALED
    await site.agrees()


@pytest.mark.chaos
async def test_a_process_that_hangs_before_it_sends_is_killed_and_the_next_one_sends_once(
    site: Site, network: Network
) -> None:
    site.configure(send_window=300.0)
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await first_request_of_the_restart_is_held(site, network)
    async with supervised(site) as supervisor:
        assert supervisor.daemon
        await site.alert("mbx1")
        await site.eventually(network.struck.is_set, "the request is held")
        freeze(supervisor.daemon)
        await eventually(lambda: supervisor.restarts == 1, "the watchdog has it killed and started again")
        network.heal()  # what the dead process had sent arrives now
        await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()
