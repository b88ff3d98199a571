"""The look from outside goes on record, makes a verdict worse, and never better."""

from dataclasses import dataclass, field

import pytest

from daemon.domain.ports import OutsideView
from daemon.remediation.actions.verify import Verify
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import CTP, SLOW, Ill
from tests.remediation.world import CAS1


@dataclass
class Client:
    """`ports.Outside` that sees what it is told to."""

    good: bool
    asked: list[str] = field(default_factory=list)

    async def look(self, server: str) -> OutsideView:
        self.asked.append(server)
        return OutsideView(good=self.good, detail="greeting, CAPA" if self.good else "no answer within 10 s")


@pytest.mark.parametrize(("monitor", "probe"), [(CTP, "PopCTPProbe"), (SLOW, None)])
async def test_a_client_that_is_turned_away_keeps_a_verdict_from_being_healthy(monitor: str, probe: str | None) -> None:
    it = Bench(monitor=monitor, probe=probe, outside=Client(good=False))
    done = await it.drive(Verify(), "verify")
    assert done.outcome == "undecided"
    assert "from outside: no answer within 10 s" in done.detail


@pytest.mark.parametrize(("monitor", "probe"), [(CTP, "PopCTPProbe"), (SLOW, None)])
@pytest.mark.parametrize("good", [True, False])
async def test_what_is_unhealthy_stays_so_whatever_a_client_sees(monitor: str, probe: str | None, good: bool) -> None:
    it = Bench(monitor=monitor, probe=probe, outside=Client(good=good))
    it.world.pop[CAS1].ills = [Ill(monitor)]
    done = await it.drive(Verify(), "verify")
    assert done.outcome == "unhealthy"
    assert done.result["outside"] == ("greeting, CAPA" if good else "no answer within 10 s")


async def test_a_client_that_is_served_makes_a_monitor_that_disagrees_no_better() -> None:
    client = Client(good=True)
    it = Bench(outside=client)
    it.world.pop[CAS1].values[CTP] = "Repairing"
    assert (await it.drive(Verify(), "verify")).outcome == "undecided"
    assert client.asked == [], "it could not decide anything, so nobody connects"


async def test_what_a_client_saw_is_evidence_of_a_healthy_verdict() -> None:
    done = await Bench(outside=Client(good=True)).drive(Verify(), "verify")
    assert done.outcome == "healthy"
    assert done.result["outside"] == "greeting, CAPA"


async def test_a_server_without_an_address_is_not_looked_at() -> None:
    client = Client(good=False)
    it = Bench()
    assert (await it.drive(Verify(), "verify")).outcome == "healthy"
    assert client.asked == []
