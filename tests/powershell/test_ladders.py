"""A ladder of each shipped runbook, healed from end to end: the real daemon, real WinRM over HTTP, the real scripts.

`make powershell-ladders` runs them, minutes each: nothing here runs faster than this machine's clock.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.incidents import IncidentStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.lab.organisation import COUNTER_MONITOR
from daemon.lab.pwsh.shell import Shell
from statemachines.loader import load_runbooks, shipped_directory
from tests.acceptance.site import Site
from tests.powershell.ladder import Ladder
from tests.powershell.plugin import LEDGER
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import eventually

RESTARTED = ("restart",)
DEEP = (("monitor", "PopDeepTestMonitor"),)
LADDERS = (
    Ladder("pop-mailbox", "a restart cures", "mbx3", "POP.Protocol", "PopDeepTestMonitor", RESTARTED, options=DEEP),
    Ladder(
        "pop-mailbox",
        "a reboot cures, once the databases are moved away",
        "mbx2",
        "POP.Protocol",
        "PopSelfTestMonitor",
        ("restart", "stop_activation", "reboot", "allow_activation"),
        fault=Fault.REBOOT_CURES,
        options=(("monitor", "PopSelfTestMonitor"),),
    ),
    Ladder(
        "pop-cas",
        "a second restart cures, with the protocol log on",
        "cas3",
        "POP",
        "PopCTPMonitor",
        ("restart", "protocol_log_on", "restart", "protocol_log_off", "restart"),
        options=(("monitor", "PopCTPMonitor"), ("restarts", 2)),
    ),
    Ladder(
        "pop-cas",
        "the ladder of the back end that the log names cures",
        "cas3",
        "POP",
        "PopCTPMonitor",
        ("restart", "protocol_log_on", "restart", "protocol_log_off", "restart"),
        fault=Fault.BACKEND_SICK,
        broken_before=("mbx5", Fault.RESTART_CURES),
    ),
    Ladder(
        "pop-proxy",
        "a restart cures",
        "cas2",
        "POP.Proxy",
        "PopProxyTestMonitor",
        RESTARTED,
        options=(("monitor", "PopProxyTestMonitor"),),
    ),
    Ladder(
        "pop-processing-time",
        "a restart cures",
        "cas3",
        "POP",
        COUNTER_MONITOR,
        RESTARTED,
        options=(("monitor", COUNTER_MONITOR),),
    ),
    Ladder("pop-triage", "the monitor's own ladder cures", "mbx4", "POP.Protocol", "", RESTARTED, options=DEEP),
)
_LONGEST = 3600.0  #: real seconds of one ladder; only a hang lasts so long


@pytest.fixture
def site(tmp_path: Path, pwsh: Shell, mosquitto: Mosquitto) -> Iterator[Site]:
    """A lab whose endpoints run the real scripts, a broker, and a daemon to be started, with short waits."""
    with Lab(tmp_path / "site", shell=pwsh) as lab:
        site = Site(tmp_path / "site", lab, mosquitto)
        site.expect_answers_within(240.0)
        site.configure(probe_span=10.0, hold_recheck=10.0, back_apart=10.0)
        yield site
        site.close()


@pytest.mark.powershell_ladders
@pytest.mark.timeout(_LONGEST + 60)
@pytest.mark.parametrize("case", [pytest.param(each, id=each.id) for each in LADDERS])
async def test_the_ladder_heals_by_the_real_scripts(case: Ladder, site: Site) -> None:
    if case.broken_before is not None:
        site.lab.break_server(*case.broken_before)
    site.lab.break_server(case.server, case.fault, **dict(case.options))
    daemon = await site.daemon()
    await site.alert(case.server, health_set=case.health_set, monitor=case.monitor or None)

    async def ended(store: Store) -> bool:
        daemon.heard()  # or it fills what it tells its service manager by
        incidents = await store.incidents()
        return bool(incidents) and all(each.status is not IncidentStatus.OPEN for each in incidents)

    async with site.store() as store:
        await eventually(lambda: ended(store), f"{case.id} ended", _LONGEST)
        incidents = await store.incidents()
    assert await daemon.stop() == 0
    assert {each.status for each in incidents} == {IncidentStatus.RESOLVED}, [each.reason for each in incidents]
    assert case.runbook in {each.runbook for each in incidents}
    assert tuple(site.effects(case.server)) == case.effects
    await site.agrees()
    LEDGER.parent.mkdir(exist_ok=True)
    with LEDGER.open("a", encoding="utf-8") as ledger:
        ledger.write(case.key + "\n")


def test_every_shipped_runbook_has_a_ladder_to_heal() -> None:
    assert {each.runbook for each in LADDERS} == {each.runbook for each in load_runbooks(shipped_directory())}
