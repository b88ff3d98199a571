"""Which points are one, and which are not."""

from tests.chaos.points import Point, distinct, extended, merge_key, outcomes, read

WAY = "pop-cas on cas: verify unhealthy"


def of_effect(step: str = "1-2", outcome: str = "done") -> list[Point]:
    """What is passed while a restart is intended, sent and over."""
    within = [("before", "restart intended"), ("after", "restart intended")]
    within += [(side, "restart sent") for side in ("commanded", "sent", "carried out", "answered")]
    within += [("before", f"outcome restart {outcome}"), ("after", f"outcome restart {outcome}")]
    return [Point(side=side, what=what, way=WAY, step=step) for side, what in within]


def test_around_an_effect_there_are_five_points_and_one_after_its_outcome() -> None:
    assert [(point.what, point.side) for point in distinct(of_effect())] == [
        ("restart intended", "after"),
        ("restart sent", "commanded"),
        ("restart sent", "sent"),
        ("restart sent", "carried out"),
        ("outcome restart done", "before"),
        ("outcome restart done", "after"),
    ]


def test_between_two_commits_without_a_call_there_is_one_point() -> None:
    passed = [
        Point(side=side, what=what, way=WAY) for what in ("verify begun", "outcome x") for side in ("before", "after")
    ]
    assert [(point.what, point.side) for point in distinct(passed)] == [
        ("verify begun", "after"),
        ("outcome x", "after"),
    ]


def test_what_is_ingested_published_and_emitted_has_a_point_on_both_sides() -> None:
    passed = [Point(side=side, what="ingested") for side in ("before", "after")]
    assert distinct(passed) == passed


def test_points_of_two_branches_are_one_only_if_the_same_becomes_of_the_step() -> None:
    keys = [
        {merge_key(point, outcomes(passed)) for point in distinct(passed)}
        for passed in (of_effect("1-2"), of_effect("7-2"), of_effect("9-2", "failed"))
    ]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_a_point_passed_twice_is_read_once() -> None:
    assert read(point.line() for point in [*of_effect(), *of_effect()]) == of_effect()


def test_turns_of_waiting_that_are_alike_count_once() -> None:
    way: list[str] = []
    for told in ("verify unhealthy", *(["to restart.recheck", "restart.recheck unhealthy"] * 5), "restart done"):
        way = extended(way, told)
    assert way == ["verify unhealthy", "to restart.recheck", "restart.recheck unhealthy", "restart done"]
