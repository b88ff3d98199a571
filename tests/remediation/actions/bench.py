"""Runs one action against the world of tests/engine, without the daemon around it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from daemon.config.guardrails import Timing
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Outside
from daemon.domain.values import Json
from daemon.exchange.client import Asker
from daemon.remediation.actions.contract import Again, Context, Done, ReadAction
from daemon.testing.clock import ManualClock
from statemachines.actions import ACTIONS
from tests.remediation.pop_world import CTP, HEALTH_SETS, PROXY, PopWorld
from tests.remediation.world import CAS1, inventory


class NoFamily:
    """For actions that open no incidents."""

    async def ensure(self, *_: object) -> str | None:
        raise AssertionError("this action opens no incidents")

    async def standing(self, incident_id: str) -> Incident | None:
        raise AssertionError(f"this action waits for no incident, and asked for {incident_id}")

    async def waits_for(self, incident_id: str) -> tuple[str, ...]:
        raise AssertionError(f"this action waits for no incident, and asked for {incident_id}")


@dataclass
class Bench:
    """An incident about one monitor of one server."""

    monitor: str = CTP
    server: str = CAS1
    probe: str | None = "PopCTPProbe"
    params: Json = field(default_factory=dict)
    outside: Outside | None = None
    database: str | None = None  #: that of the test mailbox of the look from outside
    servers: Inventory = field(default_factory=inventory)
    clock: ManualClock = field(default_factory=ManualClock)
    looks: list[str] = field(default_factory=list)  #: what each look said

    def __post_init__(self) -> None:
        self.world = PopWorld(self.clock)

    def context(self) -> Context:
        """What the action is given now."""
        server = self.servers.find(self.server)
        assert server is not None
        if self.outside is not None:
            server = replace(server, outside="pop3s://127.0.0.1:995")
        if self.database is not None:
            server = replace(server, outside_login="test", outside_database=self.database)
        health_set = HEALTH_SETS[self.monitor]
        return Context(
            incident=Incident(
                id="i1",
                key=Key.of(self.server, health_set, self.monitor),
                health_set=health_set,
                monitor=self.monitor,
                status=IncidentStatus.OPEN,
                state="it",
                opened_at=self.clock.now(),
            ),
            server=server,
            probe=self.probe,
            step_id="i1-01",
            params=self.params,
            now=self.clock.now(),
            timing=Timing(),
            ask=Asker(shell=self.world, clock=self.clock, inventory=self.servers, timeout=60.0),
            family=NoFamily(),
            front_end=self.monitor in {CTP, PROXY},
            outside=self.outside,
        )

    async def look(self, action: ReadAction, memo: Json) -> Done | Again:
        """Poll once, and move the clock to the next look."""
        seen = await action.poll(self.context(), memo)
        self.looks.append(seen.detail)
        if isinstance(seen, Again):
            self.clock.advance(seen.after)
        return seen

    async def until(self, action: ReadAction, memo: Json, minutes: float) -> Json:
        """Poll for so long, without an end; what the last look remembered."""
        end: datetime = self.clock.now() + timedelta(minutes=minutes)
        while self.clock.now() < end:
            seen = await self.look(action, memo)
            assert isinstance(seen, Again), seen
            memo = seen.memo
        return memo

    async def drive(self, action: ReadAction, name: str, memo: Json | None = None) -> Done:
        """Poll to the end or the action's deadline, as a turn does."""
        memo, end = memo or {}, self.clock.now() + ACTIONS[name].deadline
        while True:
            began = self.clock.now()
            seen = await self.look(action, memo)
            if isinstance(seen, Done):
                assert seen.outcome in (*ACTIONS[name].outcomes, "failed", "unknown", "unreachable")
                return seen
            if began >= end:
                return Done(outcome=seen.if_late, detail=seen.detail)
            memo = seen.memo
