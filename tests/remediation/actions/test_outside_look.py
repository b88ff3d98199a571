"""The look from outside goes on record, and makes a verdict better only for a front end that served its own mailbox."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from daemon.domain.ports import OutsideView
from daemon.remediation.actions.verify import Verify
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import CTP, DEEP, SLOW, Ill
from tests.remediation.world import CAS1, MBX1, Mishap


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


def ailing(monitor: str, database: str | None, *, good: bool = True) -> Bench:
    """A server with both roles whose probe fails, seen from outside."""
    it = Bench(
        monitor=monitor,
        server=MBX1,
        probe=monitor.replace("Monitor", "Probe"),
        outside=Client(good=good),
        database=database,
    )
    it.world.around[MBX1].client_access = True
    it.world.pop[MBX1].ills = [Ill(monitor)]
    return it


async def test_a_client_served_from_a_mailbox_of_the_server_itself_stops_a_front_ends_ladder() -> None:
    it = ailing(CTP, "db1")
    began = it.clock.now()
    done = await it.drive(Verify(), "verify")
    assert done.outcome == "undecided"
    assert "a mailbox of db1, which is active on mbx1.contoso.lab" in done.detail
    assert it.clock.now() - began >= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("monitor", "database", "good"),
    [
        (DEEP, "DB1", True),  # no client reaches a back end
        (CTP, "DB3", True),  # it is active on another server, whose back end has served the client
        (CTP, None, True),
        (CTP, "DB1", False),
    ],
)
async def test_otherwise_what_a_client_sees_is_told_and_decides_nothing(
    monitor: str, database: str | None, good: bool
) -> None:
    done = await ailing(monitor, database, good=good).drive(Verify(), "verify")
    assert done.outcome == "unhealthy"
    assert done.result["outside"]


async def test_where_the_mailbox_is_that_cannot_be_read_decides_nothing() -> None:
    it = ailing(CTP, "DB1")
    it.world.befall("database_copies", *[Mishap.GARBAGE] * 100)
    assert (await it.drive(Verify(), "verify")).outcome == "unhealthy"


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
