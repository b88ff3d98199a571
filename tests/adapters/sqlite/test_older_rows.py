"""What a store of before holds is read as it was meant."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.adapters.sqlite.file import migrate, migrations
from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.commits import Aside
from daemon.domain.values import timestamp
from daemon.domain.verdicts import Awaits, HoldKind
from tests.adapters.sqlite.samples import NOW, alert, received

BEFORE_ASIDE = 7  #: the migrations before that which keeps why a monitor was set aside


async def test_what_was_set_aside_before_it_had_a_why_has_that_of_its_words(tmp_path: Path) -> None:
    path = tmp_path / "exmedic.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, migrations()[:BEFORE_ASIDE])
        for server, reason in (
            ("a", "maintenance patching until 04:00"),
            ("b", "the cap of 30 incidents a minute in the fleet is reached: this would be number 31"),
            ("c", "maintenance of the cap of the roof"),
        ):
            row = (server, "pop", "m", "POP", "M", reason, timestamp(NOW), timestamp(NOW))
            connection.execute("INSERT INTO deferred VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    store = SqliteStore(path)
    await store.open()
    found = {each.key.server: each.why for each in await store.deferred(NOW + timedelta(days=1), 10)}
    await store.close()
    assert found == {"a": Aside.MAINTENANCE, "b": Aside.STORM, "c": Aside.MAINTENANCE}


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("refused after 3600 s", HoldKind(outcome="refused", seconds=3600)),
        ("unknown after 60 s without an answer", HoldKind(outcome="unknown", seconds=60, awaits=Awaits.ANSWER)),
        ("refused after 0 s for a shared cause", HoldKind(outcome="refused", seconds=0, awaits=Awaits.CAUSE)),
    ],
)
def test_the_kind_of_a_hold_is_stored_in_the_words_that_it_always_had(stored: str, kind: HoldKind) -> None:
    assert HoldKind.of(stored) == kind
    assert str(kind) == stored


@pytest.mark.parametrize("stored", ["", "refused", "refused after 60 s for a reason that nobody knows"])
def test_what_is_no_kind_of_a_hold_holds_nothing(stored: str) -> None:
    assert HoldKind.of(stored) is None


async def test_an_alert_that_was_stored_when_it_had_fewer_fields_names_its_server_alone(tmp_path: Path) -> None:
    path = tmp_path / "exmedic.db"
    store = SqliteStore(path)
    await store.open()
    await store.ingest([received("k1")])
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("names", "hints", "resolution_state", "state", "owner", "in_maintenance"):
            connection.execute(f"UPDATE alerts SET alert = json_remove(alert, '$.{name}')")  # noqa: S608 - names of ours
    await store.open()
    [stored] = await store.pending_alerts(10)
    await store.close()
    assert stored.alert == alert(names=(), hints=(), resolution_state=None, state="", owner="", in_maintenance=False)
