"""The page about the journal: every recipe is run in a real one, after a restart, and every kind is listed."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import JournalSink
from daemon.audit.journal_fields import LABELS
from daemon.domain.audit import AuditKind
from tests.adapters.test_journal import follow
from tests.audit.rows import entry, record
from tests.docs.markdown import ROOT, code
from tests.docs.markdown import rows as cells
from tests.realparts.journald import Journald
from tests.realparts.waiting import HANG

PAGE = ROOT / "docs" / "journal.md"
STEP = (AuditKind.INTENT, AuditKind.OUTCOME)
MOVED = {"action": "stop_activation", "user": "ada"}
RECIPES = [line for line in code(PAGE) if line.startswith("journalctl -t exmedic ")]


def asked(journald: Journald, recipe: str) -> list[dict[str, object]]:
    """The entries that a recipe finds."""
    command = [*shlex.split(recipe), f"--namespace={journald.namespace}", "-o", "json", "--no-pager", "-q"]
    told = subprocess.run(command, check=True, capture_output=True, timeout=HANG)
    return [json.loads(line) for line in told.stdout.splitlines()]


async def test_each_recipe_finds_each_entry_once_also_after_a_restart(journald: Journald, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    for night in (1, 2):
        await record(store, [entry(kind.value, MOVED if kind in STEP else {}, kind) for kind in AuditKind])
        sink = JournalSink(journald.socket_path)
        await follow(journald, store, sink, until=night * len(AuditKind))
        sink.close()
        journald.entries()  # synced
    await store.close()
    assert len(RECIPES) > 10
    for recipe in RECIPES:
        found = [each["AUDIT_SEQ"] for each in asked(journald, recipe)]
        assert found, recipe
        assert len(found) == len(set(found)), f"{recipe} finds an entry twice"
    assert len(asked(journald, "journalctl -t exmedic AUDIT_KIND=intent ACTION=stop_activation")) == 2, "a move a night"


def test_each_kind_is_listed_with_its_priority() -> None:
    priorities = {"2": "critical", "3": "error", "4": "warning", "5": "notice", "6": "info"}
    listed = [(kind.strip("`"), priority) for kind, priority, _ in cells(PAGE, "Kinds")]
    assert listed == [(kind.value, priorities[label.priority]) for kind, label in LABELS.items()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_names_only_kinds_and_fields_that_there_are(recipe: str) -> None:
    named = [word.partition("=") for word in shlex.split(recipe) if "=" in word and not word.startswith("-")]
    assert [value for name, _, value in named if name == "AUDIT_KIND" and value not in set(AuditKind)] == []
