"""A shared cause on record: one page for all its incidents, until it is over or an operator releases it."""

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.guardrails import SharedCause
from daemon.domain.commits import Channel, Commit
from daemon.domain.errors import Conflict, OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.remediation.guardrails import causes
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.guardrails.test_shared_cause_over_time import fall_ill, turns_for, world_of
from tests.remediation.world import ALONE, DAG, MBX1, MBX2, MBX3, Crash, Daemon, World

HOUR = timedelta(hours=1)


async def pages(daemon: Daemon) -> list[str]:
    return [row.message.topic for row in await daemon.store.outbox(Channel.NOTIFY, 100)]


async def release(daemon: Daemon, what: str) -> None:
    await daemon.operators.carry_out("ada", {"command": "release", "server": what})


async def test_three_servers_are_one_page_and_one_row_with_all_names(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, HOUR)
    (cause,) = await daemon.store.causes()
    assert cause.servers == DAG
    assert await pages(daemon) == ["exmedic: PopDeepTestMonitor (POP.Protocol) ails on 3 servers at once"]
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 100)
    assert all(f"- {server}\n" in page.message.body["text"] for server in DAG)
    assert f"exmedic release {cause.id}" in page.message.body["text"]
    (found,) = await daemon.audit("cause_found")
    assert found.entry.fields["servers"] == list(DAG)
    assert f"(cause {cause.id})" in (await daemon.incident(2)).waiting_for


async def test_what_escalates_at_the_deadline_was_in_that_page_and_gets_none_of_its_own(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, timedelta(hours=12))
    for number in (1, 2, 3):
        assert (await daemon.incident(number)).status is IncidentStatus.ESCALATED
    assert len(await daemon.audit("escalated")) == 3
    assert len(await pages(daemon)) == 1
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == [], "they are still ill, but with humans: nothing is held for them"


async def test_a_second_monitor_that_ails_on_the_same_servers_is_another_cause_but_no_news(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    for server in (MBX1, MBX2):
        daemon.world.hosts[server].also = ("PopSelfTestMonitor",)
        await daemon.alert(server, "PopSelfTestMonitor")
    await turns_for(daemon, timedelta(hours=12))
    assert len(await daemon.store.causes()) == 2
    assert len(await daemon.audit("cause_found")) == 2
    assert len(await pages(daemon)) == 1, "nor when they escalate"


async def test_a_third_monitor_on_servers_that_a_page_has_named_is_no_news_either(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, *DAG)
    for monitor, health_set, servers in (
        ("PopSelfTestMonitor", "POP.Protocol", (MBX1, MBX2)),
        ("PopProxyTestMonitor", "POP.Proxy", DAG),
    ):
        await turns_for(daemon, timedelta(minutes=4))
        for server in servers:
            daemon.world.hosts[server].also += (monitor,)
            await daemon.alert(server, monitor, health_set)
    await turns_for(daemon, HOUR)
    assert [cause.servers for cause in await daemon.store.causes()] == [DAG, (MBX1, MBX2), DAG]
    assert await pages(daemon) == ["exmedic: PopDeepTestMonitor (POP.Protocol) ails on 3 servers at once"]


async def test_what_is_released_frees_its_servers_whatever_else_ails_there(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    for server in (MBX1, MBX2):
        daemon.world.hosts[server].also = ("PopSelfTestMonitor",)
        await daemon.alert(server, "PopSelfTestMonitor")
    await turns_for(daemon, HOUR)
    await release(daemon, (await daemon.store.causes())[0].id)
    await turns_for(daemon, HOUR)
    assert {server for _, server in daemon.world.effects} == {MBX1, MBX2}
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == []


async def test_releasing_one_cause_leaves_the_servers_of_another_alone(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path, SharedCause(servers=3, share=1.0))
    for server in DAG:
        daemon.world.hosts[server].also = ("PopSelfTestMonitor",)
        await daemon.alert(server, "PopSelfTestMonitor")
    await fall_ill(daemon, *DAG, ALONE, cured_by="")
    await turns_for(daemon, HOUR)
    (of_self,) = [each for each in await daemon.store.causes() if each.what.startswith("PopSelf")]
    await release(daemon, of_self.id)
    await turns_for(daemon, HOUR)
    assert {server for _, server in daemon.world.effects} == set(DAG)


async def test_a_release_frees_the_incidents_of_then_whatever_the_clock_says_later(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, HOUR)
    await release(daemon, (await daemon.store.causes())[0].id)
    await turns_for(daemon, HOUR)
    assert len(daemon.world.effects) == 2
    daemon.clock._start -= timedelta(minutes=90)  # noqa: SLF001 - the system's clock was set back, and exmedic restarted
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, HOUR)
    assert len(daemon.world.effects) == 2, "nobody released these"


async def test_days_later_another_monitor_there_is_held_and_told_anew(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, 12 * HOUR)
    await causes.end_those_over(daemon.guards)
    assert [(await daemon.incident(number)).latched for number in (1, 2)] == [True, True]
    daemon.clock.advance(72 * 3600)
    daemon.world.hosts[MBX1].also = ("PopSelfTestMonitor",)
    await daemon.alert(MBX1, "PopSelfTestMonitor")
    await turns_for(daemon, HOUR)
    await causes.end_those_over(daemon.guards)
    await turns_for(daemon, HOUR)
    assert len(await daemon.audit("cause_found")) == 2, "it goes on while it holds the new one"
    assert len(await pages(daemon)) == 2
    assert daemon.world.effects == []


async def test_what_falls_ill_on_a_named_server_much_later_is_paged_when_it_escalates(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, 7 * HOUR)
    daemon.world.hosts[MBX1].also = ("PopSelfTestMonitor",)
    await daemon.alert(MBX1, "PopSelfTestMonitor")
    await turns_for(daemon, 12 * HOUR)
    assert await pages(daemon) == [
        "exmedic: PopDeepTestMonitor (POP.Protocol) ails on 2 servers at once",
        f"exmedic: PopSelfTestMonitor on {MBX1} needs a human",
    ]


async def test_a_server_that_joined_after_the_page_is_paged_when_it_escalates(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path, SharedCause(servers=3, share=1.0))
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, timedelta(minutes=10))
    await fall_ill(daemon, ALONE)
    await turns_for(daemon, timedelta(hours=12))
    (cause,) = await daemon.store.causes()
    assert (cause.servers, cause.told) == ((*DAG, ALONE), 3)
    assert [title for title in await pages(daemon) if "needs a human" in title] == [
        f"exmedic: PopDeepTestMonitor on {ALONE} needs a human"
    ]


async def test_another_page_follows_when_the_servers_have_doubled(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path, SharedCause(servers=2))
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=10))
    await fall_ill(daemon, MBX3)
    await turns_for(daemon, timedelta(minutes=4))
    assert len(await pages(daemon)) == 1
    await fall_ill(daemon, ALONE)
    await turns_for(daemon, HOUR)
    told = [title.partition(" ails on ")[2] for title in await pages(daemon)]
    assert told == ["2 servers at once", "4 servers at once"]


async def test_it_ends_by_itself_once_too_few_are_ill(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, HOUR)
    await causes.end_those_over(daemon.guards)
    assert len(await daemon.store.causes()) == 1, "it goes on"
    for server in (MBX2, MBX3):
        daemon.world.hosts[server].sick = False
    await turns_for(daemon, HOUR)
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == []
    (over,) = await daemon.audit("cause_over")
    assert "is over" in over.entry.message
    assert "user" not in over.entry.fields


async def test_an_operator_releases_it_and_the_same_incidents_act(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, HOUR)
    (cause,) = await daemon.store.causes()
    await release(daemon, cause.id)
    await turns_for(daemon, HOUR)
    assert sorted(daemon.world.effects) == [("restart", server) for server in DAG]
    (over,) = await daemon.audit("cause_over")
    assert (over.entry.message, over.entry.fields["user"]) == (
        f"shared cause {cause.id} ({cause.what}) released by ada",
        "ada",
    )
    assert len(await pages(daemon)) == 1


async def test_after_a_release_those_who_fall_ill_later_are_held_anew(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=10))
    await release(daemon, (await daemon.store.causes())[0].id)
    daemon.clock.advance(1)
    await fall_ill(daemon, MBX3, ALONE)
    await turns_for(daemon, HOUR)
    assert sorted(server for _, server in daemon.world.effects) == [MBX1, MBX2]
    (second,) = await daemon.store.causes()
    assert second.servers == (MBX3, ALONE)
    assert len(await pages(daemon)) == 2


async def test_a_cause_that_does_not_exist_cannot_be_released(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=10))
    (cause,) = await daemon.store.causes()
    with pytest.raises(OperatorError, match=f"nor a shared cause; quarantined servers: none; causes: {cause.id}"):
        await release(daemon, "c-ffffff")
    assert await daemon.audit("cause_over") == []


async def test_status_lists_it(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=10))
    (told,) = (await daemon.operators.carry_out("ada", {"command": "status"}))["causes"]
    assert (told["what"], tuple(told["servers"])) == ("PopDeepTestMonitor (POP.Protocol)", (MBX1, MBX2))


class _Meets(MemoryStore):
    """The first cause is noted by somebody else just before; or the process dies right after it is noted."""

    dies = False
    other: Commit | None = None  #: by somebody else

    async def commit(self, commit: Commit) -> Incident | None:
        if commit.guards.cause is not None and self.other is None and not self.dies:
            self.other = commit
            await super().commit(commit)
        result = await super().commit(commit)
        if commit.guards.cause is not None and self.dies:
            raise Crash
        return result


async def test_two_incidents_that_find_it_at_once_make_one_page(tmp_path: Path) -> None:
    store = _Meets()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, shared_cause=SharedCause())
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=20))
    assert store.other is not None
    with pytest.raises(Conflict, match="moved on"):
        await store.commit(store.other)
    assert len(await pages(daemon)) == 1
    assert len(await daemon.store.causes()) == 1


async def test_a_crash_right_after_it_was_noted_pages_no_second_time(tmp_path: Path) -> None:
    store = _Meets()
    await store.open()
    store.dies = True
    daemon = Daemon(World(ManualClock()), store, tmp_path, shared_cause=SharedCause())
    await fall_ill(daemon, MBX1, MBX2)
    with pytest.raises(Crash):
        await turns_for(daemon, timedelta(minutes=20))
    store.dies = False
    again = Daemon(daemon.world, store, tmp_path, shared_cause=SharedCause())
    store.other = Commit(at=daemon.clock.now())
    await turns_for(again, HOUR)
    assert len(await pages(again)) == 1
    assert daemon.world.effects == []
