"""Bugs as somebody could write them, planted into the daemon to see whether the simulation finds them."""

# ruff: noqa: SLF001 - a bug is planted where nobody else may reach

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.alerts import deferral, routing, telling
from daemon.alerts.intake import Intake
from daemon.alerts.storms import rooms
from daemon.audit.follower import AuditFollower
from daemon.domain.alerts import Received
from daemon.domain.audit import AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import AlertChanges, Aside, Commit, Deferred, OutboxRow, Outgoing, Room
from daemon.domain.errors import BusDown, SinkDown, StoreError
from daemon.domain.incidents import Incident, Quarantine, Step
from daemon.domain.inventory import Server
from daemon.domain.notices import NoticeKind
from daemon.domain.pauses import EVERYTHING
from daemon.domain.ports import Call, Delivery, Reply, ReplyKind
from daemon.domain.verdicts import Mode
from daemon.exchange.answers import ServerHealth, ServerState
from daemon.exchange.client import Heard, Unheard
from daemon.lab.script_call import Refusal
from daemon.operators.remote_pause import RemotePause
from daemon.outgoing.notices import NoticePage, notice_messages
from daemon.outgoing.outbox import Outbox, bus_payload
from daemon.remediation.actions import EFFECTS, facts, verify
from daemon.remediation.actions.contract import Again, Context, Done, Prepared, Withdrawn
from daemon.remediation.actions.preconditions import table
from daemon.remediation.actions.preconditions.dependencies import dependencies_healthy
from daemon.remediation.actions.preconditions.humans_at_work import nobody_logged_on
from daemon.remediation.actions.restart import RestartService
from daemon.remediation.guardrails import approvals, budgets, chain, modes, shared_cause, windows
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents import engine
from daemon.remediation.incidents.engine import Engine
from daemon.remediation.incidents.snapshot import Case
from daemon.remediation.runner import effects, session
from daemon.remediation.runner.replies import SAID_NO
from daemon.remediation.runner.session import Session
from daemon.simulation.ports import MemorySwitch
from statemachines.actions import Effect
from statemachines.table import leaves

Patch = pytest.MonkeyPatch


def acknowledge_before_the_commit(patch: Patch) -> None:
    async def commit(self: Intake) -> None:
        while True:
            waiting = await self._waiting.get()
            await self._acknowledge(waiting)
            await self._ingest(list(waiting.parts))
            self.nudge()

    patch.setattr(Intake, "_commit", commit)


def work_through_every_window(patch: Patch) -> None:
    async def nothing(_context: GuardContext, _case: Case, _server: Server) -> None:
        return None

    patch.setattr(chain, "GUARDS", tuple(guard for guard in chain.GUARDS if guard is not windows.held))
    patch.setattr(windows, "held", nothing)


def forget_what_was_set_aside(patch: Patch) -> None:
    suppress = routing._suppress

    def for_good(*args: object) -> Commit:
        commit = suppress(*args)  # type: ignore[arg-type]  # handed through as it came
        return replace(commit, alerts=replace(commit.alerts, defer=()))

    patch.setattr(routing, "_suppress", for_good)


def count_only_the_incidents_of_this_life(patch: Patch) -> None:
    """The cap on new incidents as a daemon would count them that keeps the number in memory."""
    build, born = routing.Dispatch.__init__, [datetime.min.replace(tzinfo=UTC)]

    def started(self: routing.Dispatch, **given: Any) -> None:  # noqa: ANN401 - passed on
        build(self, **given)
        born.append(self.clock.now())

    def forgetful(*given: Any) -> tuple[Room, ...]:  # noqa: ANN401 - passed on
        return tuple(replace(room, since=max(room.since, born[-1])) for room in rooms(*given))

    patch.setattr(routing.Dispatch, "__init__", started)
    for module in (routing, deferral):
        patch.setattr(module, "rooms", forgetful)


def drop_what_finds_no_room_a_second_time(patch: Patch) -> None:
    there_is_room = deferral.Deferral._as_there_is_room

    async def once(self: deferral.Deferral, waiting: Sequence[Deferred], now: datetime) -> int:
        taken = await there_is_room(self, waiting, now)
        if self._full:
            keys = tuple(each.key for each in waiting if each.why is Aside.STORM)
            await self.store.commit(Commit(at=now, alerts=AlertChanges(undefer=keys)))
        return taken

    patch.setattr(deferral.Deferral, "_as_there_is_room", once)


def act_under_the_hands_of_who_was_just_paged(patch: Patch) -> None:
    patch.setattr(session, "outage_of", lambda *_: None)


def acknowledge_what_could_not_be_stored(patch: Patch) -> None:
    async def ingest(self: Intake, batch: list[Received]) -> None:
        try:
            await self.store.ingest(batch)
        except StoreError:
            return

    patch.setattr(Intake, "_ingest", ingest)


def retry_what_was_lost(patch: Patch) -> None:
    sent = effects._sent

    async def careless(session: Session, step: Step, script: str, reply: Reply) -> None:
        lost = reply.kind is ReplyKind.UNKNOWN
        await sent(session, step, script, replace(reply, kind=ReplyKind.UNREACHABLE) if lost else reply)

    patch.setattr(effects, "_sent", careless)


def send_before_the_intent(patch: Patch) -> None:
    intend = effects._intend

    async def hasty(session: Session, case: Case, prepared: Prepared) -> None:
        call = Call(
            executor=prepared.executor,
            script=prepared.script,
            args=prepared.args,
            step_id=case.step().id,
            timeout=240,
            read_only=False,
        )
        await session.send(call)
        await intend(session, case, prepared)

    patch.setattr(effects, "_intend", hasty)


def forget_what_was_changed(patch: Patch) -> None:
    intend = Engine.intend

    def forgetful(self: Engine, case: Case, prepared: Prepared, claim: tuple[str, ...]) -> Commit:
        return intend(self, case, replace(prepared, changes=()), claim)

    patch.setattr(Engine, "intend", forgetful)


def believe_an_undo_without_doing_it(patch: Patch) -> None:
    async def prepare(_self: object, _ctx: Context) -> Done:
        return Done(outcome="done", detail="surely it is")

    patch.setattr(type(EFFECTS["undo"]), "prepare", prepare)


def drop_what_the_bus_did_not_take(patch: Patch) -> None:
    async def once(self: Outbox, row: OutboxRow, *_given: object) -> None:
        try:
            await self._bus.publish(row.message.topic, bus_payload(row), retain=row.message.retain)
        except BusDown:
            return

    patch.setattr(Outbox, "_publish", once)


def skip_what_the_journal_did_not_take(patch: Patch) -> None:
    async def emit(self: AuditFollower, rows: list[AuditRow]) -> bool:
        for row in rows:
            with suppress(SinkDown):
                await self._sink.emit(row)
            self._sent = max(self._sent, row.seq)
        return True

    patch.setattr(AuditFollower, "_emit", emit)


def release_the_claim_at_the_clients_deadline(patch: Patch) -> None:
    poll_again = Engine.poll_again

    def generous(self: Engine, case: Case, step: Step, again: Again) -> Commit:
        commit = poll_again(self, case, step, again)
        return replace(commit, progress=replace(commit.progress, release=step.effect is not Effect.READ))

    patch.setattr(Engine, "poll_again", generous)


def wait_for_another_incident_with_a_claim(patch: Patch) -> None:
    move = Engine.move

    def clinging(self: Engine, case: Case, outcome: str, detail: str, quarantine: Quarantine | None = None) -> Commit:
        commit = move(self, case, outcome, detail, quarantine)
        ended = commit.progress.incident is not None and commit.progress.incident.ended_at is not None
        return commit if ended else replace(commit, progress=replace(commit.progress, release=False))

    patch.setattr(Engine, "move", clinging)


def trust_an_empty_answer(patch: Patch) -> None:
    look = verify.monitor_look

    def trusting(ctx: Context, health: Heard[ServerHealth] | Unheard) -> verify.Look:
        if isinstance(health, Heard) and not health.answer.rows:
            return verify.Look(verify.Sight.HEALTHY, "no row says that it is ill")
        return look(ctx, health)

    patch.setattr(verify, "monitor_look", trusting)


def act_for_a_probe_alone(patch: Patch) -> None:
    judge = verify.judge

    def hasty(memo: Any, seen: verify.Look, now: Any, timing: Any) -> Done | Again:  # noqa: ANN401 - passed on
        alone = seen.sight in {verify.Sight.HANDS_OFF, verify.Sight.UNCONFIRMED}
        return judge(memo, replace(seen, sight=verify.Sight.FAILS) if alone else seen, now, timing)

    patch.setattr(verify, "judge", hasty)


def climb_because_nothing_could_be_read(patch: Patch) -> None:
    judge = verify.judge

    def hasty(memo: Any, seen: verify.Look, now: Any, timing: Any) -> Done | Again:  # noqa: ANN401 - passed on
        if seen.sight is verify.Sight.UNREAD:
            return Done(outcome="unhealthy", detail=seen.detail, result={"probe": seen.detail})
        return judge(memo, seen, now, timing)

    patch.setattr(verify, "judge", hasty)


def compare_a_servers_time_with_our_clock(patch: Patch) -> None:
    async def settle(_self: object, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        name = str(ctx.params["service"])
        heard = await ctx.itself("server_state", {"services": [name]}, ServerState)
        if isinstance(heard, Unheard) or heard.answer.services[0].started_at is None:
            return Again(after=15.0, detail="not heard")
        if heard.answer.services[0].started_at > step.started_at:
            return Done(outcome="done", detail="it began after our intent", result={"pid": 1, "started_at": ""})
        return Withdrawn(detail="it began before our intent")

    patch.setattr(RestartService, "settle", settle)


def act_while_paused(patch: Patch) -> None:
    _without(patch, chain.paused)
    patch.setattr(MemorySwitch, "permit", lambda *_given: nullcontext(True))


def acknowledge_a_pause_before_it_stands(patch: Patch) -> None:
    paused = RemotePause._paused

    async def hasty(self: RemotePause, delivery: Delivery) -> bool:
        await delivery.ack()
        return await paused(self, delivery)

    patch.setattr(RemotePause, "_paused", hasty)


def forget_the_pause_of_a_single_server(patch: Patch) -> None:
    patch.setattr(MemorySwitch, "reason", lambda self, *_server: self.standing().get(EVERYTHING))


def quarantine_nothing(patch: Patch) -> None:
    patch.setattr(engine, "quarantine_for", lambda *_given: None)


def act_on_a_server_that_may_only_be_observed(patch: Patch) -> None:
    patch.setattr(modes, "mode_of", lambda *_given: Mode.AUTO)


def forget_a_timer(patch: Patch) -> None:
    hold = Engine.hold

    def timeless(self: Engine, *given: Any, **named: Any) -> Commit:  # noqa: ANN401 - passed on
        commit = hold(self, *given, **named)
        incident = commit.progress.incident
        if incident is None or not incident.held_by:
            return commit
        return replace(commit, progress=replace(commit.progress, incident=replace(incident, due_at=None)))

    patch.setattr(Engine, "hold", timeless)


def spend_more_than_the_budget(patch: Patch) -> None:
    """Ceilings are neither looked at nor reserved."""
    _without(patch, budgets.spent)
    patch.setattr(effects, "reserved", lambda *_given: ())


def use_an_approval_twice(patch: Patch) -> None:
    """The intent does not end the approval that allowed it."""
    patch.setattr(effects, "_intended", lambda _case, commit: commit)


def trust_an_approval_that_has_expired(patch: Patch) -> None:
    approved = approvals.approved
    patch.setattr(modes, "approved", lambda case, now: approved(case, now - timedelta(hours=1)))


def act_without_an_approval(patch: Patch) -> None:
    patch.setattr(modes, "approved", lambda *_given: True)


def forget_the_moment_after_which_it_is_too_late(patch: Patch) -> None:
    """The server may begin late what was withdrawn meanwhile: evidence is read before the effect can be excluded."""

    for place in ("evidence", "activation"):
        patch.setattr(f"daemon.remediation.actions.{place}.may_still_happen", lambda _step, _heard: "")


def come_back_at_once_on_the_way_out(patch: Patch) -> None:
    """As it was once: an incident that was closed by an operator never waited before it tried its undo again."""
    hold = Engine.hold

    def restless(self: Engine, case: Case, *given: Any, **named: Any) -> Commit:  # noqa: ANN401 - passed on
        commit = hold(self, case, *given, **named)
        incident = commit.progress.incident
        if incident is not None and incident.held_by and leaves(case.incident.state):
            return replace(commit, progress=replace(commit.progress, incident=replace(incident, due_at=case.now)))
        return commit

    patch.setattr(Engine, "hold", restless)


def act_under_the_hands_of_somebody_who_is_logged_on(patch: Patch) -> None:
    _unasked(patch, nobody_logged_on)


def restart_pop_whatever_it_depends_on(patch: Patch) -> None:
    _unasked(patch, dependencies_healthy)


def act_although_many_have_the_same_problem(patch: Patch) -> None:
    async def nothing(_context: GuardContext, _incident: Incident) -> None:
        return None

    patch.setattr(shared_cause, "of_many", nothing)


def take_all_that_is_held_for_told(patch: Patch) -> None:
    patch.setattr(Cause, "tells", lambda *_: True)


def act_before_a_pattern_could_show(patch: Patch) -> None:
    patch.setattr("daemon.remediation.guardrails.shared_cause.unsettled", lambda *_: None)


def take_an_error_of_our_own_for_a_no(patch: Patch) -> None:
    patch.setattr("daemon.remediation.runner.replies.NOT_TRIED", {"expired": "unreachable"})
    patch.setattr("daemon.remediation.runner.replies.SAID_NO", {**SAID_NO, "broken": "failed"})


def let_a_script_say_that_nothing_was_tried_once_it_has_acted(patch: Patch) -> None:
    patch.setattr("daemon.lab.handlers.Lost", lambda words: Refusal("denied", words))


def keep_the_password_that_a_probe_tells(patch: Patch) -> None:
    patch.setattr("daemon.exchange.envelope.struck_out", lambda answer: answer)


def act_on_what_somebody_has_already(patch: Patch) -> None:
    patch.setattr(Engine, "stands_back", lambda *_given: False)


def forget_that_somebody_took_it_meanwhile(patch: Patch) -> None:
    patch.setattr(routing, "taken_over", lambda incident, *_given: incident)


def tell_nobody_of_what_no_runbook_handles(patch: Patch) -> None:
    patch.setattr(routing, "_notes", lambda *_given: ())


def tell_nobody_of_what_is_rejected(patch: Patch) -> None:

    def others_only(prefix: str, page: NoticePage, now: datetime) -> tuple[Outgoing, ...]:
        return () if page.notices[0].kind is NoticeKind.REJECTED else notice_messages(prefix, page, now)

    patch.setattr(telling, "notice_messages", others_only)


def _unasked(patch: Patch, precondition: table.Precondition) -> None:
    careless = facts.met

    async def met(ctx: Context, asked: table.Asked, service: str = "") -> object:
        return await careless(ctx, tuple(each for each in asked if each is not precondition), service)

    for action in ("restart", "activation", "reboot", "protocol_log"):
        patch.setattr(f"daemon.remediation.actions.{action}.met", met)


def _without(patch: Patch, guard: chain.Guard) -> None:
    for name in ("GUARDS", "PUTTING_BACK"):
        patch.setattr(chain, name, tuple(each for each in getattr(chain, name) if each is not guard))


#: What each is called in the report, and how it is planted.
BUGS: Mapping[str, Callable[[Patch], None]] = {
    bug.__name__.replace("_", " "): bug
    for bug in (
        acknowledge_before_the_commit,
        acknowledge_what_could_not_be_stored,
        retry_what_was_lost,
        send_before_the_intent,
        work_through_every_window,
        forget_what_was_set_aside,
        count_only_the_incidents_of_this_life,
        drop_what_finds_no_room_a_second_time,
        act_under_the_hands_of_who_was_just_paged,
        forget_what_was_changed,
        believe_an_undo_without_doing_it,
        drop_what_the_bus_did_not_take,
        skip_what_the_journal_did_not_take,
        release_the_claim_at_the_clients_deadline,
        wait_for_another_incident_with_a_claim,
        trust_an_empty_answer,
        act_for_a_probe_alone,
        climb_because_nothing_could_be_read,
        compare_a_servers_time_with_our_clock,
        act_while_paused,
        act_under_the_hands_of_somebody_who_is_logged_on,
        restart_pop_whatever_it_depends_on,
        act_although_many_have_the_same_problem,
        act_before_a_pattern_could_show,
        take_an_error_of_our_own_for_a_no,
        let_a_script_say_that_nothing_was_tried_once_it_has_acted,
        keep_the_password_that_a_probe_tells,
        take_all_that_is_held_for_told,
        forget_the_pause_of_a_single_server,
        acknowledge_a_pause_before_it_stands,
        quarantine_nothing,
        act_on_a_server_that_may_only_be_observed,
        forget_a_timer,
        come_back_at_once_on_the_way_out,
        forget_the_moment_after_which_it_is_too_late,
        spend_more_than_the_budget,
        use_an_approval_twice,
        act_without_an_approval,
        trust_an_approval_that_has_expired,
        act_on_what_somebody_has_already,
        forget_that_somebody_took_it_meanwhile,
        tell_nobody_of_what_no_runbook_handles,
        tell_nobody_of_what_is_rejected,
    )
}
