"""`exmedic todo`, `actions`, `explain`, and `show` by the beginning of an id: the morning after, without a daemon."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.config.whereabouts import DATABASE
from daemon.domain.incidents import IncidentStatus, StepStatus, UndoStatus
from daemon.domain.kept import Question
from statemachines.actions import Effect
from tests.adapters.sqlite import samples
from tests.cli.conftest import Exmedic

ENDED = samples.later(3600)
LONG = "LONG " + "word " * 60 + "end"
LEFT = "the database DB01 could not be moved [back]"


@pytest.fixture
def night(config: Path) -> Path:
    """A store after a night: one incident escalated and left something, one asks, one was healed, one server rests."""

    async def fill() -> None:
        store = SqliteStore(config.parent / "data" / DATABASE)
        await store.open()
        acting = await samples.begin(store, "abc1")
        done = samples.step(incident_id="abc1", status=StepStatus.DONE, outcome="done", ended_at=samples.later(30))
        acted = await store.commit(samples.work(incident=acting, step=done))
        look = samples.step("s2", number=2, incident_id="abc1", effect=Effect.READ, action="verify")
        looked = await store.commit(samples.work(incident=acted, step=look))
        look = replace(look, status=StepStatus.DONE, outcome="unhealthy", ended_at=samples.later(60))
        looked = await store.commit(samples.work(incident=looked, step=look))
        assert looked
        left = samples.undo_item(incident_id="abc1", status=UndoStatus.LEFT, reason="no answer")
        ended = replace(
            looked, status=IncidentStatus.ESCALATED, state="escalated", latched=True, ended_at=ENDED, reason=LEFT
        )
        entry = samples.entry(message=LONG, incident_id="abc1")
        held = [samples.entry(message="held", incident_id="abc1", at=samples.later(each)) for each in (0, 60, 120)]
        await store.commit(samples.work(incident=ended, undo=(left,), audit=(entry, *held)))
        asks = Question(state="reboot", what="reboot mbx2", since=samples.later(60))
        await store.commit(samples.work(incident=samples.on(samples.OTHER, "abd2", question=asks)))
        rests = samples.quarantine(server="mbx3.contoso.lab", incident_id="abc1", step_id="s1")
        await store.commit(samples.work(quarantine=rests))
        await store.close()

    asyncio.run(fill())
    return config


def test_what_waits_is_told_the_most_pressing_first_each_with_a_command(exmedic: Exmedic, night: Path) -> None:
    exmedic("pause", "--server", "mbx4", "--reason", "disk [1]", "--config", str(night))
    told = json.loads(exmedic("todo", "--json", "--config", str(night)).out)
    assert [(each["kind"], each["do"]) for each in told] == [
        ("question", "approve abd2"),
        ("quarantine", "release mbx3.contoso.lab"),
        ("left changed", "undo abc1"),
        ("escalation", "show abc1"),
        ("pause", "resume --server mbx4.contoso.lab"),
    ]
    result = exmedic("todo", "--utc", "--config", str(night))
    assert (result.code, "exmedic approve abd2" in result.said, LEFT in result.said) == (0, True, True)
    assert "pause" in result.said
    assert "by root: disk [1]" in result.said


def test_what_was_done_is_a_line_each_and_what_was_only_looked_at_is_not_told(exmedic: Exmedic, night: Path) -> None:
    begin = (samples.NOW - timedelta(minutes=1)).isoformat()
    result = exmedic("actions", "--since", begin, "--utc", "--config", str(night))
    assert result.out.splitlines() == ["2026-11-02 03:04:05 mbx1.contoso.lab restart_service: done (abc1)"]
    (told,) = json.loads(exmedic("actions", "--since", begin, "--json", "--config", str(night)).out)
    assert (told["action"], told["asked_by"], told["incident"]) == ("restart_service", "", "abc1")
    after = samples.later(10).isoformat()
    assert "nothing was done" in exmedic("actions", "--since", after, "--config", str(night)).said
    assert exmedic("actions", "--since", "soon", "--config", str(night)).code == 2


def test_an_incident_is_explained_in_three_sentences(exmedic: Exmedic, night: Path) -> None:
    result = exmedic("explain", "abc", "--config", str(night))
    what, done, stands = result.out.splitlines()
    assert what == "PopDeepTestMonitor (POP.Protocol) of mbx1.contoso.lab was reported at 2026-11-02 03:04 UTC."
    assert done == "exmedic looked once and did restart_service at 03:04: done."
    assert stands.startswith(f"It was escalated at 2026-11-02 04:04 UTC: {LEFT}. Left changed: activation on mbx1")
    assert "`exmedic undo abc1` puts it back" in stands
    told = json.loads(exmedic("explain", "abc1", "--json", "--config", str(night)).out)
    assert (told["incident"], told["what"]) == ("abc1", what)


def test_the_beginning_of_an_id_is_enough_if_it_fits_one(exmedic: Exmedic, night: Path) -> None:
    assert exmedic("show", "abd", "--config", str(night)).said.startswith("abd2 ")
    several = exmedic("show", "ab", "--config", str(night))
    assert (several.code, "ab fits several incidents: abc1, abd2" in several.said or "abd2, abc1" in several.said) == (
        1,
        True,
    )
    assert "there is no incident x" in exmedic("explain", "x", "--config", str(night)).said


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), {"abc1", "abd2"}),
        (("--server", "mbx1"), {"abc1"}),
        (("--dag", "DAG1", "--status", "open"), {"abd2"}),
        (("--monitor", "popdeep"), {"abc1", "abd2"}),
        (("--monitor", "owa"), set()),
        (("--waits",), {"abc1", "abd2"}),
        (("--since", samples.later(4000).isoformat()), {"abd2"}),
        (("--limit", "1"), {"abd2"}),
    ],
)
def test_incidents_are_filtered(arguments: tuple[str, ...], ids: set[str], exmedic: Exmedic, night: Path) -> None:
    told = json.loads(exmedic("incidents", *arguments, "--json", "--config", str(night)).out)
    assert {each["id"] for each in told} == ids


def test_what_is_told_again_and_again_is_a_line(exmedic: Exmedic, night: Path) -> None:
    said = exmedic("show", "abc1", "--utc", "--config", str(night)).said
    assert said.count("held") == 1
    assert "held (and 2 times more until 2026-11-02 03:06:05)" in said


def test_latched_and_closed_are_told_apart(exmedic: Exmedic, night: Path) -> None:
    assert "escalated, latched" in exmedic("incidents", "--config", str(night)).said
    (told,) = json.loads(exmedic("incidents", "--server", "mbx1", "--json", "--config", str(night)).out)
    assert told["latched"] is True


def test_no_line_is_broken_for_who_reads_through_a_pipe(night: Path) -> None:
    command = [sys.executable, "-m", "daemon", "show", "abc1", "--config", str(night)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    row = next(line for line in ended.stdout.splitlines() if "LONG" in line)
    assert row.rstrip().endswith(LONG)


def test_where_nothing_waits_that_is_said(exmedic: Exmedic, config: Path) -> None:
    async def empty() -> None:
        store = SqliteStore(config.parent / "data" / DATABASE)
        await store.open()
        await store.close()

    asyncio.run(empty())
    assert exmedic("todo", "--config", str(config)).said == "nothing waits for you"
