"""Whatever is asked of both stores, in whatever order, they do, refuse and answer the same, to the sentence."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.alerts import AlertStatus, Received
from daemon.domain.audit import chain_hash
from daemon.domain.commits import Channel, Commit, Routing
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, StepStatus, UndoStatus
from daemon.domain.kept import Approval, CarriedOut, LastLook, OrderedUndo, Question, Recommendation, Running, Taken
from daemon.domain.notices import Note, NoticeKind
from daemon.domain.store import Store
from daemon.domain.verdicts import Mode
from daemon.domain.windows import Span, WindowKind
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import Effect
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import EVERYTHING, OTHER, SERVER, later

T = TypeVar("T")
INCIDENTS = ("i1", "i2", "i3")
STEPS = ("s1", "s2", "s3", "s4")
SERVERS = (SERVER, OTHER)

servers = st.sampled_from(SERVERS)
incident_ids = st.sampled_from(INCIDENTS)
times = st.integers(-60, 60).map(later)


def sometimes(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.one_of(st.none(), st.none(), strategy)


names = st.sampled_from(["restart", "étape"])
carried_out = st.builds(CarriedOut, step=names, by=names, at=times)


def recommendation(first: datetime, done: CarriedOut | None) -> Recommendation:
    return Recommendation(
        state="restart",
        action="restart_service",
        action_class="restart",
        what="restart POP3",
        service="POP3",
        mode=Mode.OBSERVE,
        first=first,
        baseline={"pid": 1},
        carried_out=done,
    )


incidents = st.builds(
    samples.on,
    servers,
    incident_ids,
    status=st.sampled_from([IncidentStatus.OPEN, *IncidentStatus]),
    latched=st.booleans(),
    due_at=st.none() | times,
    runbook_hash=st.sampled_from(["", "", "abc"]),
    close_by=st.sampled_from(["", "anna"]),
    transient=st.booleans(),
    produced=st.dictionaries(st.sampled_from(["verify", "é"]), st.just({"x": [1, "ü", 2.5, None]})),
    question=sometimes(st.builds(Question, state=names, what=names, since=times)),
    approval=sometimes(
        st.builds(
            Approval, approved=st.booleans(), state=names, what=names, by=names, why=names, at=times, expires=times
        )
    ),
    recommended=st.just(()) | st.builds(recommendation, times, sometimes(carried_out)).map(lambda would: (would,)),
    last_look=sometimes(
        st.builds(
            LastLook,
            at=times,
            boot_time=st.none() | times,
            services=st.none() | st.builds(Running, service=names, since=st.none() | times).map(lambda one: (one,)),
            active=st.sampled_from([None, (), ("DB1", "DB2")]),
        )
    ),
    watched=st.sampled_from([None, {}, {"healthy": 1}]),
    joined=st.integers(0, 2),
    ordered_undo=sometimes(st.builds(OrderedUndo, st.booleans())),
    taken=sometimes(st.builds(Taken, names, names)),
    told_by=st.sampled_from(["", "i1"]),
    ends_others=st.booleans(),
)
steps = st.builds(
    samples.step,
    st.sampled_from(STEPS),
    incident_id=incident_ids,
    number=st.integers(1, 3),
    effect=st.sampled_from(Effect),
    server=servers,
    status=st.sampled_from([StepStatus.OPEN, StepStatus.OPEN, StepStatus.DONE, StepStatus.WITHDRAWN]),
    memo=st.just({}) | st.just({"polls": 1}),
)
undo_items = st.builds(
    samples.undo_item,
    st.sampled_from(["u1", "u2"]),
    incident_id=incident_ids,
    server=servers,
    status=st.sampled_from(UndoStatus),
)
quarantines = st.builds(samples.quarantine, server=servers, incident_id=incident_ids, step_id=st.sampled_from(STEPS))
routings = st.builds(
    Routing,
    alert_ids=st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True).map(tuple),
    status=st.sampled_from(AlertStatus),
    reason=st.sampled_from(["", "not in inventory"]),
    incident_id=st.none() | incident_ids,
)
windows = st.builds(
    samples.window,
    st.sampled_from(["patching", "été"]),
    kind=st.sampled_from(WindowKind),
    when=st.builds(Span, times, times),
    added_at=times,
    dags=st.sampled_from([(), ("DAG1", "DAG 2")]),
    ended_by=st.sampled_from(["", "ada"]),
)
causes = st.builds(
    samples.cause,
    st.sampled_from(["c-1", "c-2"]),
    what=st.sampled_from(["PopDeepTestMonitor (POP.Protocol)", "popdeeptestMONITOR (POP.Protocol)", "Störung"]),
    servers=st.sampled_from([SERVERS[:1], SERVERS[:2]]).map(tuple),
    told=st.integers(0, 2),
    told_at=st.none() | times,
    covered=st.sampled_from([(), ("i1",), ("i1", "i3")]),
    ended=st.none() | times,
    ended_by=st.sampled_from(["", "ada"]),
    version=st.integers(0, 2),
)
commits = st.builds(
    samples.work,
    at=times,
    incident=sometimes(incidents),
    step=sometimes(steps),
    undo=st.lists(undo_items, max_size=2).map(tuple),
    claim=st.lists(st.sampled_from([*SERVERS, "dag:dag1"]), max_size=2).map(tuple) | st.just(()),
    release=st.sampled_from([False, False, False, True]),
    quarantine=sometimes(quarantines),
    lift=sometimes(servers),
    routing=sometimes(routings),
    undefer=st.lists(servers.map(lambda server: samples.deferred(server).key), max_size=1).map(tuple),
    defer=st.lists(st.builds(samples.deferred, servers, since=times, not_before=times), max_size=2).map(tuple),
    notes=st.lists(
        st.builds(Note, kind=st.sampled_from(NoticeKind), about=names, item=names, alert=st.just(1), at=times),
        max_size=2,
    ).map(tuple),
    cause=sometimes(causes),
    window=sometimes(windows),
    runbook=sometimes(st.just(samples.runbook())),
    audit=st.lists(st.builds(samples.entry, st.text(max_size=5), incident_id=incident_ids), max_size=2).map(tuple),
    outgoing=st.lists(
        st.builds(
            samples.outgoing, st.sampled_from(["a", "b"]), channel=st.sampled_from(Channel), retain=st.booleans()
        ),
        max_size=2,
    ).map(tuple),
)
messages = st.builds(samples.received, st.sampled_from("abcde"), size=st.integers(0, 99), payload=st.binary(max_size=9))
unreadables = st.builds(samples.unreadable, st.sampled_from("abcde"), payload=st.binary(max_size=9))


class BothStores(RuleBasedStateMachine):
    """The memory store is the model of the SQLite one, and the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.loop = asyncio.Runner()
        self.memory, self.sqlite = MemoryStore(), SqliteStore(Path(self.directory.name) / "exmedic.db")
        for store in (self.memory, self.sqlite):
            self.loop.run(store.open())

    def teardown(self) -> None:
        self.loop.run(self.sqlite.close())
        self.loop.close()
        self.directory.cleanup()

    def both(self, verb: Callable[[Store], Awaitable[T]]) -> T | str:
        """Do it to both and compare; a conflict's result is its sentence."""

        async def attempt(store: Store) -> T | str:
            try:
                return await verb(store)
            except Conflict as conflict:
                return f"conflict: {conflict}"

        mine, theirs = (self.loop.run(attempt(store)) for store in (self.memory, self.sqlite))
        note(str(mine))
        assert mine == theirs
        return mine

    def stored(self, incident_id: str) -> Incident | None:
        return self.loop.run(self.memory.incident(incident_id))

    def current(self, incident: Incident) -> Incident:
        """The incident against its stored version, so that what else is wrong with it shows."""
        stored = self.stored(incident.id)
        return incident if stored is None else replace(incident, version=stored.version)

    @rule(batch=st.lists(messages | unreadables, max_size=4))
    def ingest(self, batch: list[Received]) -> None:
        self.both(lambda store: store.ingest(batch))

    @rule(commit=commits, version=st.sampled_from([None, None, None, 0, 1, 2]))
    def commit(self, commit: Commit, version: int | None) -> None:
        incident = commit.progress.incident
        if incident is not None:
            incident = self.current(incident) if version is None else replace(incident, version=version)
            commit = replace(commit, progress=replace(commit.progress, incident=incident))
        self.both(lambda store: store.commit(commit))

    @rule(incident_id=incident_ids, server=servers)
    def open_incident(self, incident_id: str, server: str) -> None:
        incident = self.current(samples.on(server, incident_id))
        self.both(lambda store: store.commit(samples.work(incident=incident)))

    @precondition(lambda self: self.loop.run(self.memory.incidents(IncidentStatus.OPEN)))
    @rule(choice=st.integers(0, 2), effect=st.sampled_from(Effect), claims=st.booleans(), server=servers)
    def begin_step(self, choice: int, effect: Effect, claims: bool, server: str) -> None:
        opened = self.loop.run(self.memory.incidents(IncidentStatus.OPEN))
        incident = opened[choice % len(opened)]
        number = len(self.loop.run(self.memory.steps(incident.id))) + 1
        step = samples.step(
            f"{incident.id}-{number}", incident_id=incident.id, number=number, effect=effect, server=server
        )
        claim = (server, "dag:dag1") if claims else ()
        self.both(lambda store: store.commit(samples.work(incident=incident, claim=claim, step=step)))

    @rule(
        incident_id=incident_ids,
        status=st.sampled_from(StepStatus),
        end=st.none() | st.sampled_from(IncidentStatus),
        latched=st.booleans(),
        quarantines=st.booleans(),
    )
    def settle_step(
        self, incident_id: str, status: StepStatus, end: IncidentStatus | None, latched: bool, quarantines: bool
    ) -> None:
        incident, step = self.stored(incident_id), self.loop.run(self.memory.open_step(incident_id))
        if incident is None or step is None:
            return
        if end is not None:
            incident = replace(incident, status=end, latched=latched)
        held = samples.quarantine(server=step.server, incident_id=incident_id, step_id=step.id)
        commit = samples.work(
            incident=incident, step=replace(step, status=status), quarantine=held if quarantines else None
        )
        self.both(lambda store: store.commit(commit))

    @rule(channel=st.sampled_from(Channel), count=st.integers(0, 3))
    def deliver(self, channel: Channel, count: int) -> None:
        waiting = self.loop.run(self.memory.outbox(channel, count))
        self.both(lambda store: store.outbox_delivered([row.seq for row in waiting]))

    @rule(seq=st.integers(1, 5), due=times)
    def retry(self, seq: int, due: datetime) -> None:
        self.both(lambda store: store.outbox_retry(seq, due))

    @rule(seq=st.integers(0, 9))
    def move_cursor(self, seq: int) -> None:
        self.both(lambda store: store.set_cursor("journal", seq))

    @rule()
    def restart(self) -> None:
        for store in (self.memory, self.sqlite):
            self.loop.run(store.close())
            self.loop.run(store.open())

    @invariant()
    def both_answer_the_same(self) -> None:
        mine = self.loop.run(samples.everything(self.memory))
        theirs = self.loop.run(samples.everything(self.sqlite))
        assert mine == theirs

    @invariant()
    def what_must_not_be_is_not(self) -> None:
        self.loop.run(self._check())

    async def _check(self) -> None:
        store = self.memory
        assert (await store.ledger()).imbalance == ""
        for scope in (*SERVERS, "dag:dag1"):
            holder = await store.claim_holder(scope)
            incident = None if holder is None else await store.incident(holder)
            assert holder is None or (incident is not None and incident.status is IncidentStatus.OPEN)
        keys = [each.key for each in await store.incidents() if each.status is IncidentStatus.OPEN or each.latched]
        assert len(keys) == len(set(keys))
        rows = await store.audit_after(0, EVERYTHING)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert all(row.hash == chain_hash(row.seq, row.entry, row.prev_hash) for row in rows)


TestBothStores = BothStores.TestCase
TestBothStores.settings = settings(max_examples=25, stateful_step_count=30)
