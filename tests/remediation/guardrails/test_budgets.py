"""Budgets: the ceilings, what counts against them, and that no schedule of intents exceeds one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import Budgets
from daemon.domain.commits import Commit, GuardChanges, Limit, Progress
from daemon.domain.errors import Conflict
from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.store import Store
from daemon.remediation.guardrails.budgets import limits, overspent
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import ACTIONS_OF, Disruption
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import NOW

BUDGETS = Budgets()


def server(name: str, dag: str | None, site: str = "Paris") -> Server:
    return Server(
        name=f"{name}.contoso.lab",
        roles=frozenset({Role.MAILBOX if dag else Role.CLIENT_ACCESS}),
        dag=dag,
        site=site,
        endpoint="http://127.0.0.1:1/wsman",
        credential="lab",
        tags=frozenset(),
    )


FLEET = Inventory((*(server(f"mbx{n}", f"DAG{1 + n % 2}") for n in range(10)), server("cas1", None)))
MBX = FLEET.servers[0]


def asked(disruption: Disruption, budgets: Budgets = BUDGETS, here: Server = MBX) -> tuple[Limit, ...]:
    return limits(disruption, here, FLEET, budgets, NOW)


@pytest.mark.parametrize(
    ("disruption", "words"),
    [
        (Disruption.RESTART, ["3 ladders on mbx0", "6 restarts of a service on mbx0"]),
        (
            Disruption.MOVE,
            ["3 ladders", "1 moves away from mbx0", "4 moves within DAG1", "12 moves in the whole fleet"],
        ),
        (
            Disruption.REBOOT,
            ["3 ladders", "1 reboots of mbx0", "4 reboots within DAG1", "4 reboots in Paris", "8 reboots in the whole"],
        ),
    ],
)
def test_each_kind_of_effect_comes_under_its_ceilings(disruption: Disruption, words: list[str]) -> None:
    found = [f"{limit.most} {limit.what}" for limit in asked(disruption)]
    assert [text.startswith(word) for text, word in zip(found, words, strict=True)] == [True] * len(words), found


def test_a_server_in_no_dag_comes_under_its_site_and_the_fleet_only() -> None:
    assert not [limit.what for limit in asked(Disruption.REBOOT, here=FLEET.servers[-1]) if "None" in limit.what]


def test_the_sentence_has_the_figure_and_who_goes_on() -> None:
    limit = asked(Disruption.REBOOT)[1]
    refused = overspent([(limit, 1)])
    assert refused is not None
    assert refused.reason == (
        "the budget is spent: 1 of 1 reboots of mbx0.contoso.lab in 12 hours; a human decides what comes next"
    )
    assert overspent([(limit, 0)]) is None


def test_zero_means_never() -> None:
    none = replace_budget(reboots_a_day_fleet=0)
    assert overspent([(limit, 0) for limit in asked(Disruption.REBOOT, none)]) is not None


def replace_budget(**changes: int) -> Budgets:
    return Budgets.model_validate({**BUDGETS.model_dump(), **changes})


async def intend(store: Store, number: int, here: Server, disruption: Disruption, minutes: int) -> bool:
    """One incident on a server that does one thing, and ends; whether its budget allowed it."""
    now, name = NOW + timedelta(minutes=minutes), f"i{number}"
    await store.commit(Commit(at=now, progress=Progress(incident=samples.on(here.name, name))))
    stored = await store.incident(name)
    step = samples.step(
        f"{name}-1", incident_id=name, server=here.name, action=ACTIONS_OF[disruption][0], started_at=now
    )
    budget = limits(disruption, here, FLEET, BUDGETS, now)
    try:
        acting = await store.commit(
            Commit(
                at=now,
                progress=Progress(incident=stored, step=step, claim=(here.name,)),
                guards=GuardChanges(limits=budget),
            )
        )
    except Conflict:
        acting, step = stored, replace(step, executor="", status=StepStatus.DONE)
    assert acting is not None
    ended = replace(acting, status=IncidentStatus.RESOLVED, due_at=None)
    await store.commit(Commit(at=now, progress=Progress(incident=ended, step=replace(step, status=StepStatus.DONE))))
    return bool(step.executor)


intents = st.tuples(st.integers(0, 10), st.sampled_from(Disruption), st.integers(0, 400))


@settings(max_examples=60)
@given(st.lists(intents, max_size=60))
async def test_no_schedule_of_intents_exceeds_a_ceiling(schedule: list[tuple[int, Disruption, int]]) -> None:
    store, done, minutes = MemoryStore(), list[tuple[int, str, Disruption]](), 0
    await store.open()
    for number, (which, disruption, later) in enumerate(schedule):
        minutes += later
        here = FLEET.servers[which]
        if await intend(store, number, here, disruption, minutes):
            done.append((minutes, here.name, disruption))
            for limit in limits(disruption, here, FLEET, BUDGETS, NOW + timedelta(minutes=minutes)):
                within = [
                    what
                    for at, name, what in done
                    if NOW + timedelta(minutes=at) > limit.since and name in limit.servers
                ]
                spent = len(within) if limit.of_ladders else within.count(disruption)
                assert spent <= limit.most, limit.what
