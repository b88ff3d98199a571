"""A thousand nights, some of them every time: no rule is broken, and a night is always and everywhere the same."""

import os
import subprocess
import sys

import pytest

from daemon.reports.replay import Recorded, replay
from daemon.simulation.campaign import hush, play_seed
from daemon.simulation.generate import story_of
from daemon.simulation.run import play
from daemon.testing.memory_state import State
from statemachines.compiler import Ladder
from statemachines.loader import load_runbooks, shipped_directory

RUNBOOKS = load_runbooks(shipped_directory())
LADDERS = {one.hash: Ladder(one) for one in RUNBOOKS}
CHUNK = 25
NIGHTS, SAMPLE = 1000, 100  #: the sample is played every time
FIRSTS = [
    pytest.param(first, marks=() if first <= SAMPLE else pytest.mark.chaos) for first in range(1, NIGHTS + 1, CHUNK)
]
REPEATED = (3, 33, 20, 21)  #: in the first two the bus is tried again, after pauses of random length


@pytest.mark.parametrize("first", FIRSTS)
def test_no_night_breaks_a_rule_and_each_incident_replayed_through_its_own_ladder_goes_as_before(first: int) -> None:
    hush()
    played = [play(story_of(seed), RUNBOOKS) for seed in range(first, first + CHUNK)]
    broken = {one.story.seed: [str(each) for each in one.violations] for one in played if one.violations}
    assert not broken, f"tell one with: exmedic simulate --seed {min(broken)}; all: {broken}"
    assert sum(one.incidents for one in played) > CHUNK
    assert sum(one.effects for one in played) > CHUNK
    assert sum(one.mishaps for one in played) > CHUNK
    assert not {one.story.seed: found for one in played if (found := differing(one.state))}
    runbooks = {incident.runbook for one in played for incident in one.state.incidents.values()}
    assert runbooks >= {one.runbook for one in RUNBOOKS}


def differing(state: State) -> list[str]:
    """The incidents of a night of which a replay differs from what happened."""
    found = []
    for incident in state.incidents.values():
        if (ladder := LADDERS.get(incident.runbook_hash)) is not None:
            recorded = Recorded(
                incident=incident,
                steps=tuple(state.steps_of(incident.id)),
                undo=tuple(item for item in state.undo.values() if item.incident_id == incident.id),
                audit=tuple(row for row in state.audit if row.entry.incident_id == incident.id),
                ladder=ladder,
            )
            again = replay(recorded, ladder)
            found += [f"incident {incident.id}: {again.text}"] if again.differs else []
    return found


def test_a_seed_is_played_the_same_in_another_process_whatever_its_hashes_are() -> None:
    hush()
    script = (
        "from daemon.simulation.campaign import hush, play_seed\n"
        "from statemachines.loader import load_runbooks, shipped_directory\n"
        "hush()\n"
        "runbooks = load_runbooks(shipped_directory())\n"
        f"print(*(play_seed(seed, runbooks).digest for seed in {REPEATED}))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] == [play_seed(seed, RUNBOOKS).digest for seed in REPEATED]
