"""What every store must do, run against each of them; the SQLite store on a real file."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import time, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.alerts import AlertStatus, Payload
from daemon.domain.audit import GENESIS, AuditKind, chain_hash
from daemon.domain.commits import Channel, Commit, Limit, Room, Routing
from daemon.domain.errors import Conflict, StoreError
from daemon.domain.incidents import Incident, IncidentStatus, Key, StepStatus, UndoStatus
from daemon.domain.kept import Taken
from daemon.domain.notices import MOST_ITEMS, MOST_NOTICES, OTHERS, Note, NoticeKind
from daemon.domain.store import Store
from daemon.domain.verdicts import Awaits, HoldKind
from daemon.domain.windows import Span, Weekly
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import Effect
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import EVERYTHING, NOW, OTHER, SERVER, later, work


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "exmedic.db")
    await made.open()
    yield made
    await made.close()


async def refused(store: Store, commit: Commit, *words: str) -> None:
    """The commit conflicts, its sentence names `words`, and nothing of it is stored."""
    before = await samples.everything(store)
    noisy = replace(
        commit, told=replace(commit.told, audit=(samples.entry("must not stay"),), outgoing=(samples.outgoing(),))
    )
    with pytest.raises(Conflict) as conflict:
        await store.commit(noisy)
    for word in words:
        assert word in str(conflict.value)
    assert await samples.everything(store) == before


async def put(store: Store, incident: Incident) -> Incident:
    stored = await store.commit(work(incident=incident))
    assert stored is not None
    return stored


class TestIngest:
    async def test_an_understood_message_is_pending_with_an_audit_row_and_nothing_to_send(self, store: Store) -> None:
        [stored] = await store.ingest([samples.received("k1")])
        assert (stored.id, stored.status, stored.seen, stored.alert) == (1, AlertStatus.PENDING, 1, samples.alert())
        assert await store.pending_alerts(10) == [stored]
        [row] = await store.audit_after(0, 10)
        assert row.entry.kind is AuditKind.ALERT_ACCEPTED
        assert (row.entry.server, row.entry.monitor, row.entry.at) == ("MBX1", samples.MONITOR, NOW)
        assert row.entry.fields["alert_id"] == 1
        assert row.entry.fields["source_id"] == "5a2f"
        assert row.entry.fields["topic"] == "alerts/scom/mbx1"
        assert await store.outbox(Channel.BUS, 10) == []

    async def test_a_message_that_was_not_understood_is_rejected_and_sent_as_a_dead_letter(self, store: Store) -> None:
        [stored] = await store.ingest([samples.unreadable("k1", payload=b"{\xff", size=10_000_000)])
        assert (stored.status, stored.reason) == (AlertStatus.REJECTED, "not JSON: line 1")
        assert await store.pending_alerts(10) == []
        [row] = await store.audit_after(0, 10)
        assert (row.entry.kind, row.entry.fields["reason"]) == (AuditKind.ALERT_REJECTED, "not JSON: line 1")
        [letter] = await store.outbox(Channel.BUS, 10)
        assert letter.message.topic == "exmedic/deadletter"
        assert letter.message.body == {
            "topic": "alerts/scom/mbx1",
            "reason": "not JSON: line 1",
            "size": 10_000_000,
            "payload": "{\N{REPLACEMENT CHARACTER}",
            "received_at": "2026-11-02T03:04:05.678901+00:00",
        }

    async def test_a_dead_letter_repeats_at_most_four_kibibytes_of_any_payload(self, store: Store) -> None:
        await store.ingest([samples.unreadable("k1", payload=b"\xff" * 65536), samples.unreadable("k2", payload=b"")])
        bad, empty = await store.outbox(Channel.BUS, 10)
        assert 4090 < len(bad.message.body["payload"].encode()) <= 4096
        assert empty.message.body["payload"] == ""

    async def test_an_alert_with_a_reason_against_it_is_rejected(self, store: Store) -> None:
        [stored] = await store.ingest([samples.received("k1", rejection="older than a week")])
        assert (stored.status, stored.alert) == (AlertStatus.REJECTED, samples.alert())

    async def test_duplicates_are_counted_and_leave_no_other_trace(self, store: Store) -> None:
        first = await store.ingest([samples.received("k1"), samples.received("k2"), samples.received("k1")])
        assert [(alert.id, alert.seen) for alert in first] == [(1, 1), (2, 1), (1, 2)]
        for _ in range(5):
            await store.ingest([samples.received("k2", payload=b"other")] * 100)
        assert len(await store.audit_after(0, EVERYTHING)) == 2
        ledger = await store.ledger()
        assert (ledger.accepted, ledger.stored, ledger.duplicates, ledger.imbalance) == (503, 2, 501, "")

    async def test_a_duplicate_of_a_rejected_message_is_not_published_again(self, store: Store) -> None:
        await store.ingest([samples.unreadable("k1")])
        [again] = await store.ingest([samples.unreadable("k1")])
        assert again.seen == 2
        assert len(await store.outbox(Channel.BUS, 10)) == 1

    async def test_an_empty_batch_stores_nothing(self, store: Store) -> None:
        before = await samples.everything(store)
        assert await store.ingest([]) == []
        assert await samples.everything(store) == before

    async def test_text_that_has_no_utf8_is_stored_with_replacements(self, store: Store) -> None:
        lone = "\ud800"  # json.loads('"\\ud800"')
        [stored] = await store.ingest([samples.received("k1", alert=samples.alert(summary=lone, source_id=lone))])
        assert stored.alert is not None
        assert stored.alert.summary == "?"
        await put(store, samples.incident(reason=lone, produced={lone: {"x": [lone]}}))
        await store.commit(work(audit=(samples.entry(lone),)))
        assert [row.entry.message for row in await store.audit_of("i1")] == ["?"]

    async def test_pending_alerts_come_oldest_first_and_limited(self, store: Store) -> None:
        await store.ingest([samples.received(f"k{number}") for number in range(5)])
        assert [alert.id for alert in await store.pending_alerts(3)] == [1, 2, 3]


def note(number: int = 1, **changes: Any) -> Note:  # noqa: ANN401 - fields of the record
    sample = Note(kind=NoticeKind.UNHANDLED, about=SERVER, item=f"Monitor{number}", alert=number, at=later(number))
    return replace(sample, **changes)


class TestNotices:
    async def test_rejected_messages_of_one_reason_are_one_notice_whatever_numbers_it_has(self, store: Store) -> None:
        first = samples.unreadable("k1", topic="alerts/scom/a")
        second = replace(first, dedup_key="k2", topic="alerts/scom/b", rejection="not JSON: line 17")
        await store.ingest([first, second])
        await store.ingest([samples.unreadable("k1")])
        (notice,) = await store.notices()
        assert (notice.kind, notice.about, notice.count) == (NoticeKind.REJECTED, "not JSON: line ...", 2)
        assert (notice.items, notice.alert, notice.since) == (("alerts/scom/a", "alerts/scom/b"), 1, NOW)

    async def test_what_was_told_is_told_no_more_and_what_comes_later_is_kept_for_another_time(
        self, store: Store
    ) -> None:
        await store.commit(work(notes=(note(1), note(2))))
        (notice,) = await store.notices()
        assert (notice.count, notice.items, notice.since) == (2, ("Monitor1", "Monitor2"), later(1))
        await store.commit(work(told=(notice,), at=later(5)))
        assert [(each.count, each.told_at) for each in await store.notices()] == [(0, later(5))]
        await store.commit(work(notes=(note(3),)))
        (notice,) = await store.notices()
        assert (notice.count, notice.items, notice.since, notice.told_at) == (1, ("Monitor3",), later(3), later(5))

    async def test_an_alert_that_comes_between_reading_and_telling_is_not_lost(self, store: Store) -> None:
        await store.commit(work(notes=(note(1),)))
        (notice,) = await store.notices()
        await store.commit(work(notes=(note(2),)))
        await refused(store, work(told=(notice,)), "has changed")

    async def test_a_notice_that_was_told_a_day_ago_is_forgotten_when_another_is_told(self, store: Store) -> None:
        await store.commit(work(notes=(note(1),)))
        await store.commit(work(told=tuple(await store.notices())))
        await store.commit(work(notes=(note(2, about=OTHER),)))
        fresh = [each for each in await store.notices() if each.count]
        await store.commit(work(told=tuple(fresh), at=later(24 * 3600)))
        assert [each.about for each in await store.notices()] == [OTHER]

    async def test_a_notice_lists_so_many_and_counts_all(self, store: Store) -> None:
        await store.commit(work(notes=tuple(note(number) for number in range(100))))
        (notice,) = await store.notices()
        assert (notice.count, len(notice.items)) == (100, MOST_ITEMS)

    async def test_too_many_notices_of_a_kind_are_one(self, store: Store) -> None:
        many = tuple(note(number, about=f"server {number}") for number in range(MOST_NOTICES + 5))
        await store.commit(work(notes=many))
        found = await store.notices()
        assert len(found) == MOST_NOTICES + 1
        (others,) = [each for each in found if each.about == OTHERS]
        assert (others.count, others.items[0]) == (5, f"server {MOST_NOTICES}: Monitor{MOST_NOTICES}")
        await store.commit(work(notes=(note(1, kind=NoticeKind.UNCLEAR),)))
        assert len(await store.notices()) == MOST_NOTICES + 2, "each kind for itself"


class TestReadingAlerts:
    async def test_alerts_come_newest_first_and_by_status(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.unreadable("k2"), samples.received("k3")])
        assert [each.id for each in await store.alerts(limit=2)] == [3, 2]
        assert [each.id for each in await store.alerts(AlertStatus.REJECTED)] == [2]
        found = await store.alert(3)
        assert found is not None
        assert found.status is AlertStatus.PENDING
        assert await store.alert(4) is None

    async def test_what_is_kept_of_a_payload_says_whether_it_is_all(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.unreadable("k2", payload=b"{", size=10)])
        whole, part = await store.payload(1), await store.payload(2)
        assert (whole, part) == (Payload(b'{"Id":"5a2f"}', 13), Payload(b"{", 10))
        assert (whole and whole.whole, part and part.whole) == (True, False)
        assert await store.payload(3) is None


class TestRouting:
    async def test_a_joined_alert_belongs_to_its_incident_and_is_no_longer_pending(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.received("k2")])
        joins = Routing(alert_ids=(2,), status=AlertStatus.JOINED, incident_id="i1")
        await store.commit(work(incident=samples.incident(), routing=joins))
        assert [alert.id for alert in await store.pending_alerts(10)] == [1]
        [joined] = await store.alerts_of("i1")
        assert (joined.id, joined.status, joined.incident_id) == (2, AlertStatus.JOINED, "i1")

    async def test_a_suppressed_alert_keeps_the_reason(self, store: Store) -> None:
        await store.ingest([samples.received("k1")])
        await store.commit(
            work(routing=Routing(alert_ids=(1,), status=AlertStatus.SUPPRESSED, reason="not in inventory"))
        )
        [again] = await store.ingest([samples.received("k1")])
        assert (again.status, again.reason, again.seen) == (AlertStatus.SUPPRESSED, "not in inventory", 2)
        assert (await store.ledger()).alerts == {"pending": 0, "joined": 0, "suppressed": 1, "rejected": 0}

    async def test_an_alert_is_routed_only_once(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.unreadable("k2")])
        suppress = Routing(alert_ids=(1,), status=AlertStatus.SUPPRESSED, reason="x")
        await store.commit(work(routing=suppress))
        await refused(store, work(routing=suppress), "alert 1", "suppressed already")
        await refused(store, work(routing=replace(suppress, alert_ids=(2,))), "alert 2", "rejected already")

    async def test_several_alerts_are_routed_at_once_or_none_of_them(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.received("k2"), samples.received("k3")])
        suppress = Routing(alert_ids=(1,), status=AlertStatus.SUPPRESSED, reason="x")
        await store.commit(work(routing=suppress))
        await refused(store, work(routing=replace(suppress, alert_ids=(2, 3, 1))), "alert 1", "suppressed already")
        assert [alert.id for alert in await store.pending_alerts(10)] == [2, 3]
        await store.commit(work(routing=replace(suppress, alert_ids=(2, 3))))
        ledger = await store.ledger()
        assert (ledger.alerts["suppressed"], ledger.alerts["pending"], ledger.imbalance) == (3, 0, "")

    @pytest.mark.parametrize(
        ("routing", "words"),
        [
            (Routing(alert_ids=(1,), status=AlertStatus.JOINED), "joins an incident"),
            (Routing(alert_ids=(1,), status=AlertStatus.PENDING), "ends the waiting"),
            (Routing(alert_ids=(1,), status=AlertStatus.JOINED, incident_id="nobody"), "incident nobody"),
            (Routing(alert_ids=(9,), status=AlertStatus.SUPPRESSED), "alert 9"),
        ],
    )
    async def test_a_routing_that_leads_nowhere_is_refused(self, store: Store, routing: Routing, words: str) -> None:
        await store.ingest([samples.received("k1")])
        await refused(store, work(routing=routing), words)


class TestIncidents:
    async def test_an_incident_reads_back_as_it_was_committed_with_its_version_counted_up(self, store: Store) -> None:
        full = samples.incident(
            runbook="pop-mailbox",
            runbook_hash="abc",
            waiting_since=later(-5),
            held_by=HoldKind(outcome="refused", seconds=60, awaits=Awaits.CAUSE),
            held_since=later(-4),
            waiting_for="paused",
            verify_requested=True,
            close_by="anna",
            undo_by="bert",
            parent="p1",
        )
        stored = await store.commit(work(incident=full, runbook=samples.runbook()))
        assert stored == replace(full, version=1)
        assert await store.incident("i1") == stored
        assert await store.current_incident(full.key) == stored
        assert await store.runbook("abc") == samples.runbook()
        ended = replace(stored, status=IncidentStatus.RESOLVED, ended_at=later(60), due_at=None, reason="healthy")
        assert await store.commit(work(incident=ended)) == replace(ended, version=2)
        assert await store.incident("i1") == replace(ended, version=2)

    async def test_times_are_stored_in_utc_whatever_their_offset(self, store: Store) -> None:
        stored = await put(store, samples.incident(due_at=NOW.astimezone(timezone(timedelta(hours=-7)))))
        assert stored.due_at is not None
        assert stored.due_at.isoformat() == NOW.isoformat()

    async def test_what_is_unknown_reads_as_nothing(self, store: Store) -> None:
        assert await store.incident("x") is None
        assert await store.current_incident(Key.of("x", "y", "z")) is None
        assert await store.open_step("x") is None
        assert await store.step("x") is None
        assert await store.steps("x") == []
        assert await store.claim_holder("x") is None
        assert await store.quarantine("x") is None
        assert await store.runbook("x") is None
        assert await store.next_due() is None
        assert await store.cursor("x") == 0
        assert await store.audit_of("x") == []

    async def test_a_commit_against_an_older_version_is_refused(self, store: Store) -> None:
        first = await put(store, samples.incident())
        await put(store, first)
        await refused(store, work(incident=first), "i1", "version 2", "against 1")
        await refused(store, work(incident=samples.incident()), "already stored")
        await refused(store, work(incident=samples.incident("i9", version=3)), "i9")

    async def test_a_key_has_one_incident_while_it_is_open_or_latched(self, store: Store) -> None:
        opened = await put(store, samples.incident())
        rival = samples.incident("i2", key=Key.of(SERVER.upper(), "pop.PROTOCOL", samples.MONITOR.upper()))
        await refused(store, work(incident=rival), "i1", "join")
        latched = await put(store, replace(opened, status=IncidentStatus.ESCALATED, latched=True))
        await refused(store, work(incident=rival), "i1")
        assert await store.current_incident(rival.key) == latched
        lifted = await put(store, replace(latched, latched=False))
        assert await store.current_incident(rival.key) is None
        await put(store, rival)
        await refused(store, work(incident=replace(lifted, latched=True)), "i2")

    async def test_alike_are_the_current_incidents_of_a_monitor_on_any_server_oldest_first(self, store: Store) -> None:
        young = await put(store, samples.on("a", "i1", opened_at=later(5)))
        latched = await put(store, samples.on("b", "i2", status=IncidentStatus.ESCALATED, latched=True))
        await put(store, samples.on("c", "i3", status=IncidentStatus.ESCALATED))
        await put(store, samples.on("d", "i4", status=IncidentStatus.RESOLVED))
        other = Key.of("e", latched.health_set, "another")
        await put(store, samples.incident("i5", key=other, monitor="another"))
        assert await store.alike(Key.of("x", latched.health_set.upper(), latched.monitor.upper())) == [latched, young]
        assert [each.id for each in await store.alike(other)] == ["i5"]
        assert await store.alike(Key.of("x", "another", latched.monitor)) == []

    async def test_on_a_server_are_the_current_incidents_of_it_oldest_first(self, store: Store) -> None:
        young = await put(store, samples.on("a", "i1", opened_at=later(5)))
        key = Key.of("a", young.health_set, "another")
        changes = {"status": IncidentStatus.ESCALATED, "latched": True}
        latched = await put(store, samples.incident("i2", key=key, monitor="another", **changes))
        await put(store, samples.incident("i3", key=Key.of("a", "third", "third"), status=IncidentStatus.RESOLVED))
        await put(store, samples.on("b", "i4"))
        assert await store.on_server("a") == [latched, young]
        assert await store.on_server("c") == []

    async def test_only_an_escalated_incident_can_be_latched(self, store: Store) -> None:
        opened = await put(store, samples.incident())
        await refused(
            store, work(incident=replace(opened, status=IncidentStatus.RESOLVED, latched=True)), "i1", "resolved"
        )

    async def test_an_incident_is_pinned_only_to_a_runbook_that_is_stored(self, store: Store) -> None:
        await refused(store, work(incident=samples.incident(runbook_hash="abc")), "runbook abc")
        await store.commit(work(runbook=samples.runbook()))
        await put(store, samples.incident(runbook_hash="abc"))

    async def test_a_stored_runbook_is_never_changed(self, store: Store) -> None:
        await store.commit(work(runbook=samples.runbook()))
        await store.commit(work(runbook=replace(samples.runbook(), text="tampered")))
        assert await store.runbook("abc") == samples.runbook()

    async def test_due_incidents_of_any_status_come_longest_due_first(self, store: Store) -> None:
        await put(store, samples.on("a", "i1", due_at=later(10)))
        await put(store, samples.on("b", "i2", due_at=later(-10), status=IncidentStatus.ESCALATED, latched=True))
        await put(store, samples.on("c", "i3", due_at=None))
        await put(store, samples.on("d", "i4", due_at=later(5)))
        await put(store, samples.on("e", "i5", due_at=later(11)))
        assert [each.id for each in await store.due_incidents(later(10), 10)] == ["i2", "i4", "i1"]
        assert [each.id for each in await store.due_incidents(later(10), 2)] == ["i2", "i4"]
        assert await store.next_due() == later(-10)

    async def test_incidents_are_listed_newest_first_by_status_and_limited(self, store: Store) -> None:
        for number in range(4):
            status = IncidentStatus.OPEN if number % 2 else IncidentStatus.RESOLVED
            await put(store, samples.on(f"s{number}", f"i{number}", status=status))
        assert [each.id for each in await store.incidents()] == ["i3", "i2", "i1", "i0"]
        assert [each.id for each in await store.incidents(limit=1)] == ["i3"]
        assert [each.id for each in await store.incidents(IncidentStatus.OPEN)] == ["i3", "i1"]

    async def test_the_ledger_counts_incidents_as_they_open_and_as_they_stand(self, store: Store) -> None:
        opened = await put(store, samples.incident())
        await put(store, replace(opened, status=IncidentStatus.CANCELLED))
        await put(store, samples.incident("i2"))
        ledger = await store.ledger()
        assert ledger.opened == 2
        assert ledger.incidents == {"open": 1, "resolved": 0, "escalated": 0, "cancelled": 1}
        assert ledger.imbalance == ""


class TestClaims:
    async def test_a_server_has_one_claim_and_taking_it_twice_is_fine(self, store: Store) -> None:
        opened = await put(store, samples.incident())
        again = await store.commit(work(incident=opened, claim=(SERVER, "dag:dag1")))
        assert again is not None
        await store.commit(work(incident=again, claim=(SERVER,)))
        assert await store.claim_holder(SERVER) == "i1"
        assert await store.claim_holder("dag:dag1") == "i1"
        assert await store.claims() == {SERVER, "dag:dag1"}
        rival = await put(store, samples.on(OTHER, "i2"))
        await refused(store, work(incident=rival, claim=(OTHER, SERVER)), SERVER, "claimed by incident i1")
        await refused(store, work(incident=rival, claim=(OTHER, "dag:dag1")), "dag:dag1", "claimed by incident i1")

    async def test_release_gives_back_all_that_the_incident_holds_and_nothing_else(self, store: Store) -> None:
        mine = await store.commit(work(incident=samples.incident(), claim=(SERVER, "dag:dag1")))
        await store.commit(work(incident=samples.on(OTHER, "i2"), claim=(OTHER,)))
        assert mine is not None
        released = await store.commit(work(incident=mine, release=True))
        assert released is not None
        assert [await store.claim_holder(scope) for scope in (SERVER, "dag:dag1", OTHER)] == [None, None, "i2"]
        assert await store.claims() == {OTHER}
        await store.commit(work(incident=released, release=True))  # holds nothing: fine

    async def test_wide_claims_are_given_back_alone_and_the_server_is_kept(self, store: Store) -> None:
        mine = await store.commit(work(incident=samples.incident(), claim=(SERVER, "dag:dag1", "site:lyon")))
        await store.commit(work(incident=samples.on(OTHER, "i2"), claim=(OTHER,)))
        assert mine is not None
        released = await store.commit(work(incident=mine, release_wide=True))
        held = [await store.claim_holder(scope) for scope in (SERVER, "dag:dag1", "site:lyon", OTHER)]
        assert held == ["i1", None, None, "i2"]
        assert released is not None
        await store.commit(work(incident=released, release_wide=True))  # nothing wide is left: fine
        await refused(store, work(release_wide=True), "incident")

    async def test_wide_claims_are_kept_while_an_effect_is_unsettled(self, store: Store) -> None:
        acting = await samples.begin(store)
        wide = await store.commit(work(incident=acting, claim=("dag:dag1",)))
        assert wide is not None
        await refused(store, work(incident=wide, release_wide=True), "step s1", "unsettled")
        assert await store.claim_holder("dag:dag1") == "i1"

    @pytest.mark.parametrize("status", [IncidentStatus.RESOLVED, IncidentStatus.ESCALATED, IncidentStatus.CANCELLED])
    async def test_an_incident_that_ends_gives_its_claims_back_and_takes_none(
        self, store: Store, status: IncidentStatus
    ) -> None:
        held = await store.commit(work(incident=samples.incident(), claim=(SERVER, "dag:dag1")))
        assert held is not None
        ended = replace(held, status=status)
        await refused(store, work(incident=ended, claim=(OTHER,)), status.value, OTHER)
        await store.commit(work(incident=ended))
        assert await store.claim_holder(SERVER) is None
        assert await store.claim_holder("dag:dag1") is None

    async def test_a_claim_needs_the_incident_in_its_commit(self, store: Store) -> None:
        await refused(store, work(claim=(SERVER,)), SERVER, "incident")
        await refused(store, work(release=True), "incident")

    async def test_a_claim_is_kept_while_an_effect_is_unsettled(self, store: Store) -> None:
        acting = await samples.begin(store)
        await refused(store, work(incident=acting, release=True), "step s1", "unsettled")
        ended = replace(acting, status=IncidentStatus.CANCELLED)
        await refused(store, work(incident=ended), "step s1", "quarantine")
        done = samples.step(status=StepStatus.DONE, outcome="done")
        await store.commit(work(incident=ended, step=done))
        assert await store.claim_holder(SERVER) is None

    async def test_a_quarantine_in_the_same_commit_lets_an_incident_end_with_an_unsettled_effect(
        self, store: Store
    ) -> None:
        acting = await samples.begin(store)
        ended = replace(acting, status=IncidentStatus.ESCALATED, latched=True)
        await store.commit(work(incident=ended, quarantine=samples.quarantine()))
        assert await store.claim_holder(SERVER) is None
        assert await store.open_step("i1") == samples.step()


class TestSteps:
    async def test_a_step_reads_back_as_intent_then_as_outcome(self, store: Store) -> None:
        acting = await samples.begin(store)
        assert await store.open_step("i1") == samples.step()
        done = samples.step(
            executor=OTHER,
            memo={"polls": 3},
            status=StepStatus.DONE,
            outcome="done",
            detail="pid 4711 -> 4712",
            result={"pid": 4712},
            ended_at=later(20),
        )
        await store.commit(work(incident=acting, step=done))
        assert await store.open_step("i1") is None
        assert await store.step("s1") == done
        assert await store.steps("i1") == [done]

    async def test_steps_come_in_the_order_of_their_numbers(self, store: Store) -> None:
        await put(store, samples.incident())
        for number in (2, 1, 3):
            await store.commit(work(step=samples.step(f"s{number}", number=number, status=StepStatus.DONE)))
        assert [each.id for each in await store.steps("i1")] == ["s1", "s2", "s3"]

    async def test_an_incident_has_one_open_step_even_of_reads(self, store: Store) -> None:
        await samples.begin(store)
        second = samples.step("s2", number=2, effect=Effect.READ)
        await refused(store, work(step=second), "i1", "step s1 is still open")
        await store.commit(work(step=replace(second, status=StepStatus.WITHDRAWN)))
        await refused(store, work(step=second), "step s1 is still open")

    async def test_a_number_is_given_once(self, store: Store) -> None:
        await samples.begin(store)
        await refused(store, work(step=samples.step("s2", status=StepStatus.DONE)), "number 1", "s1")

    async def test_a_step_belongs_to_a_stored_incident(self, store: Store) -> None:
        await refused(store, work(step=samples.step(effect=Effect.READ)), "incident i1")

    @pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.DISRUPTIVE])
    async def test_an_effect_needs_the_claim_of_its_own_incident(self, store: Store, effect: Effect) -> None:
        await put(store, samples.incident())
        acts = samples.step(effect=effect)
        await refused(store, work(step=acts), SERVER, "nobody")
        await store.commit(work(incident=samples.on(OTHER, "i2"), claim=(SERVER,)))
        await refused(store, work(step=acts), SERVER, "claimed by incident i2")
        await store.commit(work(step=replace(acts, effect=Effect.READ)))

    async def test_an_effect_that_was_refused_before_it_began_needs_no_claim(self, store: Store) -> None:
        await put(store, samples.incident())
        never_sent = samples.step(status=StepStatus.DONE, outcome="refused")
        await store.commit(work(step=never_sent))
        await refused(store, work(step=replace(never_sent, status=StepStatus.OPEN)), SERVER, "nobody")

    @pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.DISRUPTIVE])
    async def test_no_effect_begins_on_a_quarantined_server(self, store: Store, effect: Effect) -> None:
        acting = await samples.begin(store)
        unknown = samples.step(status=StepStatus.DONE, outcome="unknown")
        held = await store.commit(work(incident=acting, step=unknown, quarantine=samples.quarantine()))
        assert held is not None
        retry = samples.step("s2", number=2, effect=effect)
        await refused(store, work(step=retry), SERVER, "quarantined", "step s1")
        await refused(store, work(step=samples.step()), SERVER, "quarantined")
        await store.commit(work(step=replace(retry, effect=Effect.READ, status=StepStatus.DONE)))
        await store.commit(work(lift=SERVER, step=samples.step("s3", number=3, effect=effect)))

    async def test_an_unsettled_step_still_records_what_becomes_of_it_under_quarantine(self, store: Store) -> None:
        await samples.begin(store)
        await store.commit(work(quarantine=samples.quarantine()))
        await store.commit(work(step=samples.step(memo={"looked": 1})))
        await store.commit(work(step=samples.step(status=StepStatus.DONE, outcome="done"), lift=SERVER))
        assert await store.quarantine(SERVER) is None

    @pytest.mark.parametrize(
        "change", [{"effect": Effect.READ}, {"server": OTHER}, {"number": 2}, {"action": "reboot"}]
    )
    async def test_a_step_never_becomes_another_one(self, store: Store, change: dict[str, Any]) -> None:
        await samples.begin(store)
        await refused(store, work(step=samples.step(**change)), "step s1", "new id")


class TestLimits:
    LIMIT = Limit(
        what="restarts of a service", servers=(SERVER, OTHER), actions=("restart_service",), since=later(-60), most=1
    )

    async def test_the_last_of_a_budget_goes_to_one_intent_only(self, store: Store) -> None:
        await samples.begin(store)
        second = await put(store, samples.on(OTHER, "i2"))
        step = samples.step("s2", incident_id="i2", server=OTHER)
        commit = work(incident=second, step=step, claim=(OTHER,), limits=(self.LIMIT,))
        await refused(store, commit, "1 of 1 restarts of a service are spent")
        await store.commit(replace(commit, guards=replace(commit.guards, limits=(replace(self.LIMIT, most=2),))))
        assert await store.spent(self.LIMIT, "i1") == 2

    @pytest.mark.parametrize(
        ("change", "counts"),
        [
            ({}, 1),
            ({"status": StepStatus.DONE, "outcome": "failed"}, 1),
            ({"status": StepStatus.DONE, "outcome": "unknown"}, 1),
            ({"status": StepStatus.WITHDRAWN}, 0),
            ({"status": StepStatus.DONE, "outcome": "refused"}, 0),
        ],
    )
    async def test_what_may_have_happened_counts_and_what_provably_did_not_does_not(
        self, store: Store, change: dict[str, Any], counts: int
    ) -> None:
        acting = await samples.begin(store)
        await store.commit(work(incident=acting, step=samples.step(**change)))
        assert await store.spent(self.LIMIT, "i1") == counts

    async def test_only_those_servers_actions_and_hours_count(self, store: Store) -> None:
        await samples.begin(store)
        for other in (
            replace(self.LIMIT, servers=(OTHER,)),
            replace(self.LIMIT, actions=("reboot",)),
            replace(self.LIMIT, since=later(0)),
            replace(self.LIMIT, servers=()),
        ):
            assert await store.spent(other, "i1") == 0

    async def test_of_ladders_the_incidents_own_does_not_count(self, store: Store) -> None:
        await samples.begin(store)
        ladders = replace(self.LIMIT, of_ladders=True)
        assert await store.spent(ladders, "i1") == 0
        assert await store.spent(ladders, "i2") == 1


class TestUndoAndQuarantine:
    async def test_changes_are_kept_in_the_order_they_were_recorded_and_replaced_by_id(self, store: Store) -> None:
        await store.commit(work(incident=samples.incident(), undo=(samples.undo_item("u2"), samples.undo_item("u1"))))
        left = samples.undo_item("u2", status=UndoStatus.LEFT, reason="denied")
        await store.commit(work(undo=(left, samples.undo_item("u3"))))
        assert await store.undo_items("i1") == [left, samples.undo_item("u1"), samples.undo_item("u3")]
        await refused(store, work(undo=(samples.undo_item(incident_id="nobody"),)), "incident nobody")

    async def test_what_is_still_changed_on_a_server_is_known_whichever_incident_changed_it(self, store: Store) -> None:
        left = samples.undo_item("u1", status=UndoStatus.LEFT)
        done = samples.undo_item("u2", status=UndoStatus.DONE)
        elsewhere = samples.undo_item("u3", server=samples.OTHER)
        pending = samples.undo_item("u4", incident_id="i2")
        await store.commit(work(incident=samples.incident(), undo=(left, done, elsewhere)))
        await store.commit(work(incident=samples.on(samples.OTHER, "i2"), undo=(pending,)))
        assert await store.changed_on(samples.SERVER) == [left, pending]

    async def test_a_quarantine_lasts_until_it_is_lifted(self, store: Store) -> None:
        await samples.begin(store)
        await store.commit(work(quarantine=samples.quarantine()))
        assert await store.quarantine(SERVER) == samples.quarantine()
        assert await store.quarantines() == [samples.quarantine()]
        await store.commit(work(lift=OTHER))
        assert await store.quarantines() == [samples.quarantine()]
        await store.commit(work(lift=SERVER))
        assert await store.quarantines() == []

    async def test_a_quarantine_is_not_hidden_by_another_step_and_can_be_restated(self, store: Store) -> None:
        await samples.begin(store)
        await samples.begin(store, "i2", OTHER, "s2")
        await store.commit(work(quarantine=samples.quarantine()))
        await refused(store, work(quarantine=samples.quarantine(incident_id="i2", step_id="s2")), SERVER, "step s1")
        restated = samples.quarantine(reason="still not known")
        await store.commit(work(quarantine=restated))
        assert await store.quarantine(SERVER) == restated

    async def test_a_quarantine_names_a_stored_incident_and_step(self, store: Store) -> None:
        await put(store, samples.incident())
        await refused(store, work(quarantine=samples.quarantine()), "step s1")
        await refused(store, work(quarantine=samples.quarantine(incident_id="nobody")), "incident nobody")


class TestDeferred:
    async def test_what_was_deferred_comes_back_from_its_moment_on_the_longest_due_first(self, store: Store) -> None:
        early, late = samples.deferred(SERVER, not_before=later(60)), samples.deferred(OTHER, not_before=later(90))
        await store.commit(work(defer=(late, early)))
        assert await store.deferred(later(59), 10) == []
        assert await store.deferred(later(60), 10) == [early]
        assert await store.deferred(later(90), 10) == [early, late]
        assert await store.deferred(later(90), 1) == [early]

    async def test_who_has_what_was_deferred_is_what_the_latest_of_its_alerts_says(self, store: Store) -> None:
        ada = samples.deferred(taken=Taken("ada is its owner", "5a2f"))
        await store.commit(work(defer=(ada,)))
        assert await store.deferred(later(900), 10) == [ada]
        await store.commit(work(defer=(samples.deferred(),)))
        assert await store.deferred(later(900), 10) == [samples.deferred()]

    async def test_what_is_deferred_again_is_never_put_off_by_that(self, store: Store) -> None:
        await store.commit(work(defer=(samples.deferred(since=later(5), not_before=later(60)),)))
        await store.commit(work(defer=(samples.deferred(since=later(30), not_before=later(900), reason="storm"),)))
        again = samples.deferred(since=later(5), not_before=later(60), reason="storm")
        assert await store.deferred(later(900), 10) == [again]

    async def test_one_commit_may_forget_and_put_off(self, store: Store) -> None:
        await store.commit(work(defer=(samples.deferred(), samples.deferred(OTHER))))
        put_off = samples.deferred(not_before=later(900))
        await store.commit(work(undefer=(put_off.key,), defer=(put_off,)))
        assert await store.deferred(later(899), 10) == [samples.deferred(OTHER)]
        await store.commit(work(undefer=(put_off.key, samples.deferred(OTHER).key)))
        assert await store.deferred(later(900), 10) == []

    async def test_a_commit_that_conflicts_defers_and_forgets_nothing(self, store: Store) -> None:
        await store.commit(work(defer=(samples.deferred(),)))
        await put(store, samples.incident())
        taken = samples.incident("i2")
        await refused(store, work(incident=taken, undefer=(samples.deferred().key,)), "already has incident i1")
        await refused(store, work(incident=taken, defer=(samples.deferred(OTHER),)), "already has incident i1")


class TestWindows:
    async def test_a_window_comes_back_as_it_was_added_until_it_is_over(self, store: Store) -> None:
        window = samples.window(dags=("DAG1", "DAG2"), sites=("Zürich",))
        await store.commit(work(window=window))
        assert await store.windows(later(3599)) == [window]
        assert await store.windows(later(3600)) == []

    async def test_a_window_that_is_ended_early_stays_and_one_of_its_name_may_follow(self, store: Store) -> None:
        await store.commit(work(window=samples.window()))
        ended = samples.window(when=Span(NOW, later(60)), ended_by="bob")
        await store.commit(work(window=ended))
        again = samples.window(added_at=later(120), when=Span(later(120), later(180)))
        await store.commit(work(window=again))
        assert await store.windows(NOW) == [ended, again]
        assert await store.windows(later(60)) == [again]

    async def test_windows_come_in_the_order_they_begin(self, store: Store) -> None:
        late, early = (
            samples.window("b", when=Span(later(9), later(10))),
            samples.window("a", when=Span(NOW, later(99))),
        )
        for window in (late, early):
            await store.commit(work(window=window))
        assert await store.windows(NOW) == [early, late]

    async def test_one_of_the_configuration_is_not_stored(self, store: Store) -> None:
        before = await samples.everything(store)
        for window in (samples.window(added_at=None), samples.window(when=WEEKLY)):
            with pytest.raises(TypeError, match="of the configuration"):
                await store.commit(work(window=window, incident=samples.incident()))
        assert await samples.everything(store) == before


class TestCauses:
    async def test_a_cause_comes_back_as_it_was_noted_until_it_is_over(self, store: Store) -> None:
        cause = samples.cause()
        await store.commit(work(cause=cause))
        assert await store.causes() == [replace(cause, version=1)]
        grown = replace(cause, servers=(*cause.servers, "ex9.contoso.com"), told=3, version=1)
        await store.commit(work(cause=grown))
        assert await store.causes() == [replace(grown, version=2)]
        await store.commit(work(cause=replace(grown, ended=later(60), version=2)))
        assert await store.causes() == []

    async def test_there_is_one_of_a_kind_and_what_at_a_time_whatever_the_case(self, store: Store) -> None:
        await store.commit(work(cause=samples.cause()))
        before = await samples.everything(store)
        for second in (samples.cause(), samples.cause("c-2"), samples.cause("c-2", what=samples.cause().what.upper())):
            await refused(store, work(cause=second, audit=(samples.entry(),)), "moved on")
        assert await samples.everything(store) == before
        await store.commit(work(cause=samples.cause("c-3", what="another")))
        assert [each.id for each in await store.causes()] == ["c-1", "c-3"]

    async def test_a_commit_against_an_older_version_or_one_that_is_over_is_refused(self, store: Store) -> None:
        await store.commit(work(cause=samples.cause()))
        await store.commit(work(cause=samples.cause(told=0, version=1)))
        await refused(store, work(cause=samples.cause(version=1)), "moved on")
        await store.commit(work(cause=samples.cause(ended=NOW, version=2)))
        await refused(store, work(cause=samples.cause(version=3)), "moved on")

    async def test_the_causes_of_an_incident_are_those_that_hold_or_cover_it_whether_they_are_over_or_not(
        self, store: Store
    ) -> None:
        await store.commit(work(cause=samples.cause("c-1", incidents=("i1",), covered=("i2",))))
        await store.commit(work(cause=samples.cause("c-1", incidents=("i1",), covered=("i2",), ended=NOW, version=1)))
        await store.commit(work(cause=samples.cause("c-2", incidents=("i1", "i3"), covered=(), told_at=None)))
        assert [each.id for each in await store.causes_of(["i1"])] == ["c-1", "c-2"]
        assert [each.id for each in await store.causes_of(["i2"])] == ["c-1"]
        assert [each.id for each in await store.causes_of(["i3", "i4"])] == ["c-2"]
        assert await store.causes_of(["i4"]) == []
        assert await store.causes_of([]) == []


WEEKLY = Weekly(days=(0,), begins=time(22), ends=time(23), zone="UTC")


class TestAudit:
    async def test_rows_are_numbered_without_gaps_and_chained_across_commits_and_conflicts(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.received("k1"), samples.unreadable("k2")])
        await store.commit(work(incident=samples.incident(), audit=(samples.entry("one"), samples.entry("two"))))
        await refused(store, work(incident=samples.incident()))
        await store.commit(work(audit=(samples.entry("three", incident_id=""),)))
        rows = await store.audit_after(0, EVERYTHING)
        assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
        assert [row.prev_hash for row in rows] == [GENESIS, *(row.hash for row in rows[:-1])]
        assert [row.hash for row in rows] == [chain_hash(row.seq, row.entry, row.prev_hash) for row in rows]

    async def test_rows_are_read_after_a_number_and_by_incident(self, store: Store) -> None:
        entries = tuple(samples.entry(str(number), incident_id="i1" if number % 2 else "") for number in range(6))
        await store.commit(work(audit=entries))
        assert [row.seq for row in await store.audit_after(2, 3)] == [3, 4, 5]
        assert [row.entry for row in await store.audit_of("i1")] == [entries[1], entries[3], entries[5]]
        assert await store.audit_of("") == []

    async def test_what_is_not_json_is_our_mistake_and_stores_nothing(self, store: Store) -> None:
        before = await samples.everything(store)
        with pytest.raises(TypeError, match="datetime"):
            await store.commit(work(audit=(samples.entry(fields={"when": NOW}),)))
        assert await samples.everything(store) == before

    async def test_a_follower_finds_the_place_it_recorded(self, store: Store) -> None:
        await store.set_cursor("journal", 7)
        await store.set_cursor("console", 2)
        await store.set_cursor("journal", 5)
        assert (await store.cursor("journal"), await store.cursor("console")) == (5, 2)


class TestOutbox:
    async def test_messages_wait_in_order_for_their_own_channel(self, store: Store) -> None:
        page = samples.outgoing("Escalated", channel=Channel.NOTIFY)
        kept = samples.outgoing("exmedic/incidents/i1", retain=True)
        await store.commit(work(outgoing=(samples.outgoing("a"), page, kept)))
        first, second = await store.outbox(Channel.BUS, 10)
        assert (first.message, second.message) == (samples.outgoing("a"), kept)
        assert first.seq < second.seq
        assert (first.created_at, first.due_at, first.attempts) == (NOW, NOW, 0)
        assert [row.message for row in await store.outbox(Channel.NOTIFY, 10)] == [page]
        assert await store.outbox(Channel.BUS, 1) == [first]

    async def test_a_delivered_message_is_gone_and_its_number_is_not_used_again(self, store: Store) -> None:
        await store.commit(work(outgoing=(samples.outgoing("a"), samples.outgoing("b"))))
        last = (await store.outbox(Channel.BUS, 10))[-1].seq
        await store.outbox_delivered([row.seq for row in await store.outbox(Channel.BUS, 10)])
        assert await store.outbox(Channel.BUS, 10) == []
        await store.outbox_delivered([last])  # reported twice: fine
        await store.commit(work(outgoing=(samples.outgoing("c"),)))
        assert (await store.outbox(Channel.BUS, 10))[0].seq > last

    async def test_a_failed_attempt_is_counted_and_postponed_and_keeps_its_place(self, store: Store) -> None:
        await store.commit(work(outgoing=(samples.outgoing("a"), samples.outgoing("b"))))
        seq = (await store.outbox(Channel.BUS, 1))[0].seq
        await store.outbox_retry(seq, later(30))
        await store.outbox_retry(seq, later(90))
        await store.outbox_retry(999, later(90))  # delivered meanwhile: nothing
        first = (await store.outbox(Channel.BUS, 10))[0]
        assert (first.seq, first.attempts, first.due_at) == (seq, 2, later(90))


class TestLife:
    async def test_a_store_that_is_not_open_refuses_every_verb_and_one_that_is_cannot_be_opened(
        self, store: Store
    ) -> None:
        with pytest.raises(StoreError, match="already open"):
            await store.open()
        await store.close()
        await store.close()  # twice is fine
        with pytest.raises(StoreError, match="not open"):
            await store.ledger()
        with pytest.raises(StoreError, match="not open"):
            await store.commit(work())

    async def test_everything_is_there_after_closing_and_opening(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.unreadable("k2")])
        await samples.begin(store)
        await store.commit(work(audit=(samples.entry(),), outgoing=(samples.outgoing(),), undo=(samples.undo_item(),)))
        before = await samples.everything(store)
        await store.close()
        await store.open()
        assert await samples.everything(store) == before

    async def test_a_cancelled_commit_is_whole_or_absent(self, store: Store) -> None:
        for number in range(30):
            before = len(await store.audit_after(0, EVERYTHING))
            unit = work(
                incident=samples.on(f"s{number}", f"i{number}"),
                claim=(f"s{number}",),
                step=samples.step(f"s{number}", incident_id=f"i{number}", server=f"s{number}"),
                audit=(samples.entry(), samples.entry()),
                outgoing=(samples.outgoing(),),
            )
            task = asyncio.ensure_future(store.commit(unit))
            for _ in range(number % 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            after = len(await store.audit_after(0, EVERYTHING)) - before
            stored = await store.incident(f"i{number}") is not None
            assert after == (2 if stored else 0)
            assert (await store.open_step(f"i{number}") is not None) is stored
            assert (await store.claim_holder(f"s{number}") is not None) is stored
        assert (await store.ledger()).imbalance == ""

    async def test_a_cancelled_caller_of_a_commit_that_conflicts_leaves_no_noise(self, store: Store) -> None:
        await put(store, samples.incident())
        task = asyncio.ensure_future(store.commit(work(incident=samples.incident())))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await store.ledger()).opened == 1

    async def test_commits_made_at_once_all_count(self, store: Store) -> None:
        units = [work(incident=samples.on(f"s{n}", f"i{n}"), audit=(samples.entry(str(n)),)) for n in range(50)]
        await asyncio.gather(*(store.commit(unit) for unit in units))
        assert [row.seq for row in await store.audit_after(0, EVERYTHING)] == list(range(1, 51))

    async def test_of_rivals_for_one_key_exactly_one_wins(self, store: Store) -> None:
        rivals = [store.commit(work(incident=samples.incident(f"i{number}"))) for number in range(10)]
        results = await asyncio.gather(*rivals, return_exceptions=True)
        assert sum(isinstance(result, Incident) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 9


class TestTransients:
    async def test_only_transient_incidents_of_the_key_that_ended_since_are_found(self, store: Store) -> None:
        for number, (transient, ended) in enumerate([(True, 5), (True, 50), (False, 50), (True, 60)]):
            await put(
                store,
                samples.incident(
                    f"i{number}",
                    status=IncidentStatus.RESOLVED,
                    due_at=None,
                    transient=transient,
                    ended_at=later(ended),
                ),
            )
        key = samples.incident("x").key
        assert [each.id for each in await store.transients(key, later(10))] == ["i1", "i3"]
        assert await store.transients(key, later(60)) == []
        assert await store.transients(replace(key, monitor="another"), later(0)) == []


class TestRoom:
    async def test_where_there_is_no_room_no_incident_is_opened_and_nothing_is_written(self, store: Store) -> None:
        first, second = samples.on("a", "i1"), samples.on("b", "i2")
        now, minute = first.opened_at, timedelta(minutes=1)
        await put(store, first)
        servers = (first.server, second.server)
        room = Room(what="in the fleet", servers=servers, since=now - minute, until=now, most=1)
        assert await store.opened(room) == 1
        await refused(store, work(incident=second, room=(room,)), "1 of 1 incidents a minute in the fleet")
        assert await store.incident("i2") is None
        await store.commit(work(incident=second, room=(replace(room, most=2),)))
        assert await store.opened(room) == 2

    async def test_only_its_servers_and_its_span_are_counted(self, store: Store) -> None:
        first = await put(store, samples.on("a", "i1"))
        now, minute = first.opened_at, timedelta(minutes=1)
        room = Room(what="here", servers=(first.server,), since=now - minute, until=now, most=1)
        assert await store.opened(replace(room, servers=("another.contoso.com",))) == 0
        assert await store.opened(replace(room, since=now, until=now + minute)) == 0
        assert await store.opened(replace(room, until=now - minute / 2)) == 0


class TestLedger:
    async def test_every_status_is_counted_as_it_is_committed_beside_the_rows_themselves(self, store: Store) -> None:
        await store.ingest([samples.received("k1"), samples.received("k2"), samples.unreadable("k3")])
        opened = await put(store, samples.incident())
        await store.commit(work(routing=Routing(alert_ids=(1,), status=AlertStatus.JOINED, incident_id="i1")))
        await store.commit(work(routing=Routing(alert_ids=(2,), status=AlertStatus.SUPPRESSED, reason="x")))
        again = await put(store, replace(opened, state="restart"))
        ended = await put(store, replace(again, status=IncidentStatus.ESCALATED))
        await put(store, replace(ended, status=IncidentStatus.OPEN))
        ledger = await store.ledger(thorough=True)
        assert {name: number for name, number in ledger.counted.items() if number} == {
            "alerts joined": 1,
            "alerts suppressed": 1,
            "alerts rejected": 1,
            "incidents open": 1,
        }
        assert (ledger.imbalance, ledger.strays) == ("", {})
        assert (await store.ledger()).strays is None

    async def test_what_conflicts_is_not_counted(self, store: Store) -> None:
        await put(store, samples.incident())
        await refused(store, work(incident=samples.incident()), "already stored")
        assert (await store.ledger()).counted["incidents open"] == 1

    async def test_what_a_human_was_told_replaces_what_was_told_before(self, store: Store) -> None:
        assert (await store.ledger()).told == {}
        await store.commit(work(ledger_told={"accepted": 2, "opened": 1}))
        await store.commit(work(audit=(samples.entry(),)))
        assert (await store.ledger()).told == {"accepted": 2, "opened": 1}
        await store.commit(work(ledger_told={"opened": 4}))
        assert (await store.ledger()).told == {"opened": 4}
        await store.commit(work(ledger_told={}))
        assert (await store.ledger()).told == {}
