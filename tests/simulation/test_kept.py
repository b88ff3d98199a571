"""A campaign that is cut off goes on from there, and what other code had come to counts for nothing."""

from pathlib import Path

from daemon.simulation import campaign
from daemon.simulation.kept import Kept
from statemachines.loader import load_runbooks, shipped_directory

RUNBOOKS = load_runbooks(shipped_directory())


def test_what_was_kept_is_found_again_by_the_same_code(tmp_path: Path) -> None:
    file = tmp_path / "campaigns" / "nights"
    Kept(file, "code").add(7, {"violations": []})
    again = Kept(file, "code")
    assert again.get(7) == {"violations": []}
    assert again.get(8) is None
    assert len(Kept(file, "other code")) == 0
    assert len(Kept(file, "code")) == 0, "it was begun anew"


def test_a_line_that_was_cut_off_is_played_again_and_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "nights"
    kept = Kept(file, "code")
    kept.add(1, {"effects": 1})
    kept.add(2, {"effects": 2})
    file.write_bytes(file.read_bytes()[:-6])
    again = Kept(file, "code")
    assert (again.get(1), again.get(2)) == ({"effects": 1}, None)
    again.add(3, {"effects": 3})
    assert Kept(file, "code").get(3) == {"effects": 3}


def test_a_night_that_was_played_before_is_counted_and_not_played_again(tmp_path: Path) -> None:
    file = tmp_path / "nights"
    first = campaign.totals(campaign.campaign(range(2, 4), RUNBOOKS, 1, Kept(file, "code")))
    played: list[int] = []
    kept = Kept(file, "code")
    kept.add(3, {**(kept.get(3) or {}), "effects": 1000})
    again = campaign.totals(campaign.campaign(range(2, 5), RUNBOOKS, 1, kept), lambda one: played.append(one.seed))
    assert played == [2, 3, 4]
    assert again.seeds == first.seeds + 1
    assert again.effects >= 1000, "night 3 was not played again"
