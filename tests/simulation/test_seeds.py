"""A thousand nights, some of them every time: no rule is broken, and a night is always and everywhere the same."""

import os
import subprocess
import sys

import pytest

from daemon.simulation.campaign import hush, play_seed
from statemachines.loader import load_runbooks, shipped_directory

RUNBOOKS = load_runbooks(shipped_directory())
CHUNK = 25
NIGHTS, SAMPLE = 1000, 100  #: the sample is played every time
FIRSTS = [
    pytest.param(first, marks=() if first <= SAMPLE else pytest.mark.chaos) for first in range(1, NIGHTS + 1, CHUNK)
]
REPEATED = (3, 33, *range(20, 26))  #: in the first two the bus is tried again, after pauses of random length


@pytest.mark.parametrize("first", FIRSTS)
def test_no_night_breaks_a_rule(first: int) -> None:
    hush()
    played = [play_seed(seed, RUNBOOKS) for seed in range(first, first + CHUNK)]
    broken = {one.seed: one.violations for one in played if one.violations}
    assert not broken, f"tell one with: exmedic simulate --seed {min(broken)}; all: {broken}"
    assert sum(one.incidents for one in played) > CHUNK
    assert sum(one.effects for one in played) > CHUNK
    assert sum(one.mishaps for one in played) > CHUNK


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
