"""Waiting for another incident: never in a circle, whoever joined whom first, and whoever looked at the same moment."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.values import Json
from daemon.remediation.actions.contract import Again, Done, Sick
from daemon.remediation.actions.heal import Heal
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import CTP, DEEP
from tests.remediation.world import CAS1, MBX2

SERVERS = [f"s{number}" for number in range(4)]


@dataclass
class Joining:
    """A family in which every sick monitor has its incident already, named as its server; and what each remembers."""

    memos: dict[str, Json] = field(default_factory=dict)
    ended: dict[str, IncidentStatus] = field(default_factory=dict)

    async def ensure(self, sick: Sick, opener: Incident, parent: str) -> str | None:
        assert opener.id != sick.server, "it would wait for itself"
        assert parent == opener.id
        return sick.server

    async def standing(self, incident_id: str) -> Incident | None:
        about = Key.of(incident_id, "POP", CTP)
        status = self.ended.get(incident_id, IncidentStatus.OPEN)
        opened = Bench().clock.now()
        return Incident(
            id=incident_id, key=about, health_set="POP", monitor=CTP, status=status, state="child", opened_at=opened
        )

    async def waits_for(self, incident_id: str) -> tuple[str, ...]:
        return tuple(self.memos.get(incident_id, {}).get("children", {}).values())

    async def look(self, name: str, others: list[str]) -> Done | Again:
        """One look of an incident that wants others healed; what comes of it is not on record yet."""
        sick = [Sick(server=other, health_set="POP", monitor=CTP).told for other in others]
        context = Bench(params={"sick": sick}).context()
        context = replace(context, incident=replace(context.incident, id=name), family=self)
        return await Heal().poll(context, self.memos.get(name, {}))

    def record(self, name: str, came: Done | Again) -> None:
        """Commit what came of a look."""
        if isinstance(came, Again):
            self.memos[name] = came.memo
        else:
            self.memos.pop(name, None)


async def test_of_two_that_want_each_other_healed_the_second_is_refused_at_once_and_the_first_waits() -> None:
    family = Joining()
    family.record("s0", await family.look("s0", ["s1"]))
    second = await family.look("s1", ["s0"])
    assert isinstance(second, Done)
    assert second.outcome == "refused"
    assert "s0, which waits for this one" in second.detail
    assert isinstance(await family.look("s0", ["s1"]), Again)


async def test_a_circle_is_found_over_any_number_of_incidents() -> None:
    family = Joining()
    family.record("s0", await family.look("s0", ["s1"]))
    family.record("s1", await family.look("s1", ["s2", "s3"]))
    third = await family.look("s3", ["s2", "s0"])
    assert isinstance(third, Done)
    assert "s0, which waits for s1, which waits for this one" in third.detail


async def test_two_that_looked_at_the_same_moment_do_not_both_give_way() -> None:
    family = Joining()
    looks = {name: await family.look(name, [other]) for name, other in (("s0", "s1"), ("s1", "s0"))}
    for name, came in looks.items():
        assert isinstance(came, Again), "neither could see the other"
        family.record(name, came)
    again = {name: await family.look(name, [other]) for name, other in (("s0", "s1"), ("s1", "s0"))}
    assert sorted(isinstance(came, Done) for came in again.values()) == [False, True]


async def test_who_waits_in_a_line_is_not_refused() -> None:
    family = Joining()
    family.record("s1", await family.look("s1", ["s2"]))
    assert isinstance(await family.look("s0", ["s1", "s2"]), Again)


@given(
    wants=st.lists(st.lists(st.sampled_from(SERVERS), min_size=1, max_size=3, unique=True), min_size=4, max_size=4),
    order=st.lists(st.tuples(st.sampled_from(SERVERS), st.booleans()), max_size=30),
)
async def test_whatever_the_order_of_looks_and_commits_no_circle_remains_and_somebody_of_it_still_waits(
    wants: list[list[str]], order: list[tuple[str, bool]]
) -> None:
    family, under_way, refused = Joining(), dict[str, Done | Again](), set[str]()
    of = {name: [other for other in others if other != name] for name, others in zip(SERVERS, wants, strict=True)}
    # Each looks and commits in any order; then all go on, one after the other, until nothing changes any more.
    for name, commits in [*order, *[(name, True) for name in 3 * SERVERS]]:
        if not of[name] or name in refused:
            continue
        came = under_way.pop(name, None) or await family.look(name, of[name])
        if commits:
            family.record(name, came)
            if isinstance(came, Done):
                refused.add(name)
        else:
            under_way[name] = came
    for name in SERVERS:
        reached, ahead = set[str](), list(await family.waits_for(name))
        while ahead:
            following = ahead.pop()
            assert following != name, f"{name} waits for itself"
            if following not in reached:
                reached.add(following)
                ahead += await family.waits_for(following)
    wishing = {name for name in SERVERS if of[name]}
    assert not wishing or refused < wishing or not _circle(of), "of a circle one gives way, and the others wait"


def _circle(of: dict[str, list[str]]) -> bool:
    def back(name: str, at: str, seen: set[str]) -> bool:
        return any(
            other == name or (other not in seen and back(name, other, seen | {other})) for other in of.get(at, [])
        )

    return any(back(name, name, set()) for name in of)


async def test_an_incident_with_a_parent_waits_for_none() -> None:
    bench = Bench(params={"sick": [Sick(server=MBX2, health_set="POP.Protocol", monitor=DEEP).told]}, server=CAS1)
    context = bench.context()
    done = await Heal().poll(replace(context, incident=replace(context.incident, parent="i9")), {})
    assert isinstance(done, Done)
    assert (done.outcome, "i9" in done.detail) == ("refused", True)
