"""One turn of one incident: ask servers, commit what the engine decides, send an effect.

For an effect the order is fixed: facts, gates, intent committed, sent, outcome committed. A step with an effect that
is found open at the start of a turn was sent by a process that is gone, or its answer was lost: it is settled by
evidence and never sent again.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from daemon import afterwards, asking, causes, in_window, shared_cause
from daemon.actions import EFFECTS, READS
from daemon.actions.action import Again, Context, Done, Prepared, Unready, Withdrawn, last_of
from daemon.actions.heal import others
from daemon.approval import approved_at
from daemon.budget import beside_others, reserved
from daemon.case import Case
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit
from daemon.domain.errors import Conflict, StoreError
from daemon.domain.incidents import Incident, IncidentStatus, Step
from daemon.domain.inventory import Server, scopes
from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Refuse
from daemon.domain.windows import Span
from daemon.guards import RETRY, at_last, objection
from daemon.opening import UNHANDLED_LATCH, about
from daemon.parts import Parts
from daemon.sent import NotTried, meaning
from daemon.way_out import FLAPPING_WITHIN
from daemon.would import WOULD
from statemachines.actions import Effect

WATCHED = ".watched"  #: among an incident's facts, where no state can be called so: the last look of a latched one
READ_AGAIN = 3  #: how often alerts that join during a verification make it look again

_log = structlog.get_logger("exmedic.turn")


class Turn:
    """At most one step further."""

    def __init__(self, parts: Parts, incident: Incident) -> None:
        self._parts = parts
        self._incident = incident
        self._server = parts.inventory.find(incident.server)
        self._transcript: list[Json] = []  #: the raw answers heard in this turn

    async def take(self) -> None:
        """Do what the incident's state asks for."""
        before = self._incident
        await self._take()
        if WOULD in before.facts:
            await afterwards.look(self._parts, before)

    async def _take(self) -> None:
        incident, store = self._incident, self._parts.store
        if incident.status is not IncidentStatus.OPEN:
            await self._watch()
            return
        step = await store.open_step(incident.id)
        reading = step is None or step.effect is Effect.READ
        if self._server is None:
            await self._without_server(step)
        elif incident.close_by and reading and not incident.state.startswith("undo."):
            await self._commit(lambda case: self._parts.engine.close(case, step))
        elif step is None:
            await self._enter()
        elif step.effect is Effect.READ:
            await self._poll(step)
        else:
            await self._settle(step)

    async def escalate_defect(self, error: Exception) -> None:
        """Escalate because exmedic itself is at fault; an open effect stays unsettled, so it quarantines."""
        detail = f"internal error, please report it: {type(error).__name__}: {error}"
        await self._give_up(await self._parts.store.open_step(self._incident.id), detail)

    async def _give_up(self, step: Step | None, detail: str) -> None:
        await self._over(step, Done(outcome="unknown", detail=detail))

    async def _without_server(self, step: Step | None) -> None:
        """The server was taken out of the inventory: it is contacted no more, and somebody must know."""
        await self._give_up(step, f"{self._incident.server} is no longer in the inventory")

    # Reading

    async def _poll(self, step: Step) -> None:
        case = await self._case(self._incident)
        context = await self._context(case, step.id, step.params)
        seen = await READS[step.action].poll(context, step.memo)
        if isinstance(seen, Done) and seen.outcome == "unhealthy" and (step.action, step.number) == ("verify", 1):
            await self._open_hidden(context)
        for _ in range(READ_AGAIN):
            try:
                case = await self._case(self._incident)
                commit = await causes.told_once(self._parts, case, self._after_poll(case, step, seen))
                await self._parts.store.commit(commit)
            except Conflict:
                fresh = await self._parts.store.incident(self._incident.id)
                if fresh is None or fresh.version == self._incident.version:
                    raise
                self._incident = fresh
                if isinstance(seen, Done) and seen.outcome == "healthy":
                    if self._parts.clock.now() < step.deadline_at:
                        return  # an alert came in while we looked: what we saw is older, so the next turn looks again
                    seen = Done(outcome="unknown", detail=f"alerts kept coming in while it was asked: {seen.detail}")
            else:
                return
        await self._commit(lambda case: self._after_poll(case, step, seen))

    async def _open_hidden(self, context: Context) -> None:
        """Other monitors found unhealthy on the server get their own incidents; repeated after a crash, they join."""
        for sick in await others(context):
            if self._parts.ladders.handling(context.server, sick.health_set, sick.monitor):
                await self._parts.family.ensure(sick, context.incident, "")

    def _after_poll(self, case: Case, step: Step, seen: Done | Again) -> Commit:
        if isinstance(seen, Done):
            return self._parts.engine.finish(case, self._with_raw(step), seen)
        if case.now >= step.deadline_at:
            late = Done(outcome=seen.if_late, detail=f"not within {step.deadline_at - step.started_at}: {seen.detail}")
            return self._parts.engine.finish(case, self._with_raw(step), late)
        return self._parts.engine.poll_again(case, step, seen)

    async def _watch(self) -> None:
        """An escalated incident's key is latched until its monitor is proven healthy; look whether it is."""
        incident, now = self._incident, self._parts.clock.now()
        over, seen = await self._over_by_itself()
        audit = (about(AuditKind.LATCH_LIFTED, incident, now, f"latch lifted: {over}", {}),) if over else ()
        later = now + timedelta(seconds=self._parts.settings.timing.latch_recheck)
        fresh = replace(incident, latched=not over, due_at=None if over else later, verify_requested=False)
        fresh = replace(fresh, facts={**incident.facts, WATCHED: seen})
        try:
            await self._parts.store.commit(Commit(at=now, incident=fresh, audit=audit))
        except Conflict:
            _log.debug("watching again", incident=incident.id)  # something joined meanwhile; it is still due

    async def _over_by_itself(self) -> tuple[str, Json]:
        """Why it is over, empty if it is not; and what the next look must know of this one."""
        incident = self._incident
        if not incident.runbook:
            ended = incident.ended_at or incident.opened_at
            return ("a day has passed" if self._parts.clock.now() >= ended + UNHANDLED_LATCH else ""), {}
        if self._server is None:
            return "", {}
        case = await self._case(incident)
        await self._settle_quarantine(case)
        look = READS["verify" if incident.monitor else "triage"]
        memo = incident.facts.get(WATCHED, {})
        seen = await look.poll(await self._context(case, f"{incident.id}-watch", {}), memo)
        if isinstance(seen, Done):
            return (seen.detail if seen.outcome == "healthy" else ""), {}
        return "", seen.memo

    async def _settle_quarantine(self, case: Case) -> None:
        """Evidence that has turned up since may end the quarantine that this incident caused."""
        quarantine = await self._parts.store.quarantine(case.incident.server)
        step = None if quarantine is None else await self._parts.store.step(quarantine.step_id)
        if step is None or step.incident_id != case.incident.id:
            return
        evidence = await EFFECTS[step.action].settle(await self._context(case, step.id, step.params), step)
        if isinstance(evidence, Done | Withdrawn) and getattr(evidence, "outcome", "") != "unknown":
            message = f"quarantine lifted by evidence: {evidence.detail}"
            entry = about(AuditKind.QUARANTINE_LIFTED, case.incident, case.now, message, {})
            await self._parts.store.commit(Commit(at=case.now, lift=case.incident.server, audit=(entry,)))

    # Acting

    async def _enter(self) -> None:
        """Begin the state's action."""
        case = await self._case(self._incident)
        if case.state.action.effect is Effect.READ:
            committed = await self._commit(self._parts.engine.read)
            if committed is not None:
                self._incident = committed
                step = await self._parts.store.open_step(committed.id)
                if step is not None:
                    await self._poll(step)
            return
        afresh = self._verify_first(case)
        verdict = afresh or await objection(self._parts, case, self._here()) or await self._prepare(case)
        prepared = verdict if isinstance(verdict, Prepared) else None
        if prepared is not None:
            case = replace(case, now=self._parts.clock.now())  # the facts took their time, and an approval expires
            # The mode comes last, so that what it holds is what would be done.
            asked = asking.objection(self._parts, case, self._here())
            verdict = asked or await at_last(self._parts, case, self._here()) or prepared
        if isinstance(verdict, Hold):
            hold = await causes.noted(self._parts, verdict, self._incident)
            await self._commit(lambda case: self._held(case, hold, prepared))
        elif isinstance(verdict, Refuse):
            await self._commit(lambda case: self._parts.engine.refuse(case, verdict))
        elif isinstance(verdict, Done):
            await self._over(None, verdict)
        else:
            await self._intend(case, verdict)

    def _verify_first(self, case: Case) -> Hold | None:
        """Before an effect: somebody said that it is over, or what we know is too old; then look again first."""
        timing = self._parts.settings.timing
        if case.state.action.name == "undo":
            return None
        if case.incident.verify_requested:
            reason = "the source of the alert says that it is over"
        elif case.verified is None or case.now - case.verified > timedelta(seconds=timing.verified_age):
            reason = "the last verification is too old"
        elif case.verified < (approved_at(case) or case.verified) <= case.now:
            reason = "it was approved after the last verification"
        else:
            return None
        return Hold(reason=reason, after=timedelta(0), deadline=timedelta(seconds=timing.hold_deadline))

    def _held(self, case: Case, hold: Hold, prepared: Prepared | None) -> Commit:
        commit = asking.held(self._parts, case, hold, self._here(), prepared)
        return causes.unpaged(case, commit) if hold.paged else commit

    def _scopes(self, case: Case) -> tuple[str, ...]:
        return scopes(self._here(), dag_wide=case.state.action.dag_wide)

    async def _prepare(self, case: Case) -> Prepared | Hold | Refuse | Done:
        action = EFFECTS[case.state.action.name]
        step_id = case.step().id
        context = await self._context(case, step_id, case.params())
        needs = await shared_cause.dependencies(self._parts, case, self._here())
        prepared = await action.prepare(replace(context, dependencies=needs))
        if isinstance(prepared, Unready):
            paged = await causes.has_told(self._parts, self._incident)
            return replace(self._retry(case, prepared.detail, prepared.if_late), paged=paged)
        if case.state.action.disrupts and not (isinstance(prepared, Hold) and prepared.found):
            await causes.cleared(self._parts, self._incident)
        if isinstance(prepared, Prepared):
            return await beside_others(self._parts, case, self._here(), prepared)
        return prepared

    def _retry(self, case: Case, reason: str, outcome: str, *, verify_afresh: bool = False) -> Hold:
        deadline = case.state.deadline
        return Hold(reason=reason, after=RETRY, deadline=deadline, verify_afresh=verify_afresh, outcome=outcome)

    async def _intend(self, case: Case, prepared: Prepared) -> None:
        """Commit the intent, then send. Between the two nothing is awaited but the commit itself."""
        parts = self._parts
        case = replace(case, now=parts.clock.now())
        if parts.clock.monotonic() - prepared.heard_at > parts.settings.timing.facts_age:
            stale = self._retry(case, "the facts were too old by the time they were complete", "unknown")
            await self._commit(lambda case: parts.engine.hold(case, stale))
            return
        budget = reserved(parts, case, self._here(), prepared.others)
        commit = replace(parts.engine.intend(case, prepared, self._scopes(case)), limits=budget)
        commit = asking.intended(case, commit)
        try:
            committed = await parts.store.commit(commit)
        except Conflict as conflict:
            # The incident moved on, or another one took the claim first: everything is asked afresh.
            _log.info("asking again", incident=case.incident.id, why=str(conflict))
            return
        if committed is None or commit.step is None:
            raise StoreError("the store did not return the incident of an intent")
        self._incident = committed
        call = Call(
            executor=prepared.executor,
            script=prepared.script,
            args=prepared.args,
            step_id=commit.step.id,
            timeout=parts.settings.winrm.effect_timeout,
            read_only=False,
        )
        reply = await parts.shell.run(call, partial(parts.pause.permit, self._here().name))
        await self._sent(commit.step, call.script, reply)

    async def _sent(self, step: Step, script: str, reply: Reply) -> None:
        """Understand how sending an effect ended."""
        engine = self._parts.engine
        said = reply.result if reply.kind is ReplyKind.OK else {reply.error or reply.kind.value: reply.detail}
        self._transcript.append({"script": script, "executor": step.executor, "answer": said})
        seen = meaning(EFFECTS[step.action], step, script, reply)
        if isinstance(seen, Done):
            await self._over(step, seen)
        elif isinstance(seen, NotTried):
            await self._commit(
                lambda case: engine.withdraw(
                    case, step, seen.detail, self._retry(case, seen.detail, seen.if_late), may_finish=False
                )
            )
        else:
            await self._commit(lambda case: engine.poll_again(case, step, seen))

    async def _settle(self, step: Step) -> None:
        """What became of an effect whose answer was lost, or whose sender died?"""
        case = await self._case(self._incident)
        # `databases` and the like come from the step itself: the incident's facts have them only once it is done.
        context = await self._context(case, step.id, step.params)
        seen = await EFFECTS[step.action].settle(context, step)
        engine = self._parts.engine
        if isinstance(seen, Done):
            await self._over(step, seen)
        elif isinstance(seen, Withdrawn):
            await self._commit(
                lambda case: engine.withdraw(
                    case,
                    step,
                    seen.detail,
                    self._retry(case, seen.detail, "unknown", verify_afresh=True),
                    may_finish=seen.may_finish,
                )
            )
        elif case.now >= step.deadline_at:
            await self._over(step, Done(outcome="unknown", detail=seen.detail))
        else:
            await self._commit(lambda case: engine.poll_again(case, step, seen))

    async def _over(self, step: Step | None, done: Done) -> None:
        """A step is over; None: one that needed no sending."""
        heard = None if step is None else self._with_raw(step)
        await self._commit(lambda case: self._parts.engine.conclude(case, heard, done))

    def _with_raw(self, step: Step) -> Step:
        """The step with the raw answers that decided it."""
        return replace(step, memo={**step.memo, "raw": last_of(self._transcript)})

    # Common ground

    async def _case(self, incident: Incident) -> Case:
        store = self._parts.store
        now, ladder = self._parts.clock.now(), await self._parts.ladders.of(incident)
        closed: tuple[Span, ...] = ()
        if incident.status is IncidentStatus.OPEN and self._server is not None:
            action = ladder.states[incident.state].action
            closed = await in_window.closed(self._parts, incident, action, self._server, now)
        return Case(
            incident=incident,
            ladder=ladder,
            steps=tuple(await store.steps(incident.id)),
            undo=tuple(await store.undo_items(incident.id)),
            now=now,
            closed=closed,
            transients=await store.transients(incident.key, now - FLAPPING_WITHIN),
        )

    def _here(self) -> Server:
        if self._server is None:
            raise ValueError(f"{self._incident.server} is not in the inventory")
        return self._server

    async def _context(self, case: Case, step_id: str, params: Json) -> Context:
        parts, item = self._parts, case.item(params)
        handled = case.ladder.definition.handled(case.incident.health_set, case.incident.monitor)
        return Context(
            incident=case.incident,
            server=self._here(),
            probe=None if handled is None else handled.probe,
            step_id=step_id,
            params=params,
            now=case.now,
            timing=parts.settings.timing,
            ask=await parts.asker(self._here().name, self._transcript),
            family=parts.family,
            item=item,
            senders=case.senders(item.setting) if item is not None else (),
            outside=parts.outside,
        )

    async def _commit(self, build: Callable[[Case], Commit]) -> Incident | None:
        """Commit what `build` decides; if an alert joined meanwhile, decide again on the incident as it is now.

        It ends: each round follows a commit of somebody else's, an alert or an order, and those are finitely many. An
        outcome that was heard must not be given up for their number.
        """
        while True:
            case = await self._case(self._incident)
            try:
                return await self._parts.store.commit(build(case))
            except Conflict:
                fresh = await self._parts.store.incident(self._incident.id)
                if fresh is None or fresh.version == self._incident.version:
                    raise
                self._incident = fresh
