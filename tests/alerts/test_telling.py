"""What humans are told of alerts that opened nothing: once a day each, all counted, never more pages than so many."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.alerts.telling import GATHERS, Telling, due, told_payload
from daemon.domain.commits import AlertChanges, Channel, Commit
from daemon.domain.notices import DAY, OTHERS, Note, Notice, NoticeKind, grouped, told
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.adapters.sqlite.samples import NOW, later, unreadable
from tests.remediation.world import MBX1, MBX2

SOON, TOMORROW = NOW + GATHERS, NOW + GATHERS + DAY


def notice(about: str = "a", **changes: object) -> Notice:
    sample = Notice(kind=NoticeKind.REJECTED, about=about, since=NOW, count=1, items=("x",), alert=1)
    return replace(sample, **changes)  # type: ignore[arg-type]  # fields of the record


class World:
    """A store, and the loop on it."""

    def __init__(self, most: int = 10) -> None:
        self.store, self.clock = MemoryStore(), ManualClock()
        self.telling = Telling(store=self.store, clock=self.clock, prefix="exmedic", most=most, committed=lambda: None)

    async def note(self, *abouts: str, kind: NoticeKind = NoticeKind.UNHANDLED, item: str = "x") -> None:
        now = self.clock.now()
        notes = tuple(Note(kind=kind, about=about, item=item, alert=1, at=now) for about in abouts)
        await self.store.commit(Commit(at=now, alerts=AlertChanges(notes=notes)))

    async def tell(self) -> list[str]:
        """The pages of the next look, once others have been waited for."""
        self.clock.advance(GATHERS.total_seconds())
        await self.telling.tell()
        rows = await self.store.outbox(Channel.NOTIFY, 1000)
        await self.store.outbox_delivered([row.seq for row in rows])
        return [f"{row.message.topic}\n{row.message.body['text']}" for row in rows]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.store.open()
    return world


def test_a_notice_waits_for_others_of_its_kind_and_is_then_due() -> None:
    assert list(due([notice()], 10, NOW)) == []
    assert list(due([notice()], 10, SOON)) == [(notice(),)]


def test_what_was_told_is_due_again_a_day_later_if_there_is_more() -> None:
    assert list(due([told(notice(), NOW)], 10, TOMORROW)) == []
    more = replace(told(notice(), NOW), count=1, since=later(60))
    assert list(due([more], 10, SOON + timedelta(hours=20))) == []
    assert list(due([more], 10, TOMORROW)) == [(more,)]


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    assert list(due([notice(since=later(3600), told_at=later(3600))], 10, NOW)) == [
        (notice(since=later(3600), told_at=later(3600)),)
    ]


def test_beyond_so_many_a_day_one_page_tells_of_all_the_others() -> None:
    found = [notice(str(number)) for number in range(5)]
    *alone, rest = due(found, 2, SOON)
    assert alone == [(found[0],), (found[1],)]
    assert [each.about for each in rest] == ["2", "3", "4", OTHERS]


@given(
    abouts=st.lists(st.tuples(st.sampled_from(NoticeKind), st.integers(0, 40), st.integers(0, 40)), max_size=80),
    most=st.integers(1, 5),
)
async def test_all_alerts_are_told_within_a_day_of_the_last_by_a_bounded_number_of_pages(
    abouts: list[tuple[NoticeKind, int, int]], most: int
) -> None:
    world = World(most)
    await world.store.open()
    counts, pages = Counter[NoticeKind](), 0
    for kind, about, minutes in abouts:
        world.clock.advance(60 * minutes)
        await world.note(str(about), kind=kind)
        counts[kind] += 1
        pages += len(await world.tell())
    assert pages <= len(NoticeKind) * (most + 1) * (1 + 40 * 80 // 1440 + 1)
    for _ in range(3):  # what is beyond the bound of a day waits for the next
        world.clock.advance(DAY.total_seconds())
        await world.tell()
    assert [each.count for each in await world.store.notices() if each.count] == []


async def test_one_page_a_server_and_day_with_a_list(world: World) -> None:
    for monitor in ("OwaCtpMonitor", "EcpMonitor", "OwaCtpMonitor"):
        await world.note(MBX1, item=monitor)
    (page,) = await world.tell()
    assert f"exmedic: alerts that no runbook handles of {MBX1}" in page
    assert "3 alerts since" in page
    assert page.count("OwaCtpMonitor") == page.count("EcpMonitor") == 1
    await world.note(MBX1, item="ImapMonitor")
    await world.note(MBX2, item="ImapMonitor")
    (page,) = await world.tell()
    assert MBX2 in page, "the other server, and not the same one again"
    world.clock.advance(DAY.total_seconds())
    (page,) = await world.tell()
    assert MBX1 in page
    assert "1 alert since" in page


async def test_a_rejected_alert_is_told_with_its_reason_and_a_sample_without_its_secrets(world: World) -> None:
    payload = b'{"Id": "x", "Description": "Password: hunter2-swordfish", "More": "' + b"y" * 9000
    await world.store.ingest([unreadable("k1", payload=payload, size=len(payload))])
    world.clock.advance((NOW - world.clock.now()).total_seconds() if world.clock.now() < NOW else 0)
    (page,) = await world.tell()
    assert "not JSON: line ..." in page
    assert '{"Id": "x"' in page
    assert "hunter2" not in page
    assert "exmedic alert rejected" in page
    assert len(page) < 2000


async def test_a_burst_of_invented_reasons_is_a_few_pages_and_all_are_counted() -> None:
    world = World(most=3)
    await world.store.open()
    for batch in range(5):
        await world.note(*(f"reason {batch} {number}" for number in range(100)), kind=NoticeKind.REJECTED)
    pages = await world.tell()
    assert len(pages) == 4
    assert "497 alerts" in pages[-1]
    assert len(pages[-1]) < 20_000
    await world.note("one more", kind=NoticeKind.REJECTED)
    assert await world.tell() == []
    world.clock.advance(DAY.total_seconds())
    assert len(await world.tell()) == 1


def test_reasons_that_differ_in_what_they_quote_are_one() -> None:
    one = 'the field "a" is given twice, at line 3'
    assert (
        grouped(one)
        == grouped('the field "b" is given twice, at line 17')
        == "the field ... is given twice, at line ..."
    )


@given(st.binary(max_size=5000))
def test_any_payload_is_told_on_one_line_within_the_bound(payload: bytes) -> None:
    line = told_payload(payload, 100)
    assert len(line) <= 103
    assert line.isprintable()


def test_a_payload_of_two_bytes_a_letter_is_readable() -> None:
    assert '{"Id": "x"}' in told_payload('{"Id": "x"}'.encode("utf-16-le"), 100)
