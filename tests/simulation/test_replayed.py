"""Incidents of unlucky nights, replayed through the very ladders they ran on: nothing may differ."""

from daemon.reports.replay import Recorded, replay
from daemon.simulation.campaign import hush
from daemon.simulation.generate import story_of
from daemon.simulation.run import play
from statemachines.compiler import Ladder
from statemachines.loader import load_runbooks, shipped_directory

RUNBOOKS = load_runbooks(shipped_directory())
NIGHTS = range(1, 41)


def test_an_incident_replayed_through_its_own_ladder_goes_as_before_whatever_befell_it() -> None:
    hush()
    ladders = {one.hash: Ladder(one) for one in RUNBOOKS}
    differing, runbooks = [], set[str]()
    for seed in NIGHTS:
        state = play(story_of(seed), RUNBOOKS).state
        for incident in state.incidents.values():
            ladder = ladders.get(incident.runbook_hash)
            recorded = Recorded(
                incident=incident,
                steps=tuple(state.steps_of(incident.id)),
                undo=tuple(item for item in state.undo.values() if item.incident_id == incident.id),
                audit=tuple(row for row in state.audit if row.entry.incident_id == incident.id),
                ladder=ladder,
            )
            if ladder is not None:
                runbooks.add(incident.runbook)
                found = replay(recorded, ladder)
                differing += [f"seed {seed}, incident {incident.id}: {found.text}"] if found.differs else []
    assert differing == []
    assert runbooks == {one.runbook for one in RUNBOOKS}
