"""Why a command must not have been sent: what operators were asked, windows, shared causes, others at work there."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from daemon.domain.incidents import Step
from daemon.domain.inventory import Server
from daemon.lab.faults import Fault
from daemon.lab.organisation import Machine
from daemon.simulation.approvals import unapproved
from daemon.simulation.causes import ignored
from daemon.simulation.windows import forbidden_by
from daemon.simulation.world import World
from statemachines.actions import ACTIONS, Disruption

#: As old as facts may be when an effect goes out: their own age, and the commit of the intent.
SEEN_WITHIN = timedelta(minutes=2)
JUST_ESCALATED = timedelta(hours=7)  #: so long an engineer has the whole server, however the daemon's clock is stepped


def objections(world: World, step: Step, server: Server) -> Iterator[str]:
    """Each reason against what is sent for a step, in words."""
    state, simulation = world.store.contents, world.simulation
    if why := unapproved(world.story.asking, state, step):
        yield why
    if window := forbidden_by(state, world.inventory, step, server):
        yield f"in the {window.title}"
    yield from ignored(world, step, SEEN_WITHIN)
    yield from _after_an_escalation(world, step)
    if machine := simulation.organisation.machines.get(server.name):
        yield from _others_at_work(machine, step, simulation.timeline.now())


def _after_an_escalation(world: World, step: Step) -> Iterator[str]:
    """Each incident with which its own had to end: it has just escalated on the server, after it was seen to act."""
    if ACTIONS[step.action].only_undoes:
        return
    state, record = world.store.contents, world.simulation.record
    acted = {state.steps[entry.step].incident_id for entry in record.effects() if entry.step in state.steps}
    for other in map(state.incidents.__getitem__, state.current.values()):
        if other.server != step.server or other.id not in acted - {step.incident_id} or other.ended_at is None:
            continue
        since = step.started_at - other.ended_at
        if other.runbook and not (other.taken or other.told_by) and timedelta(0) < since < JUST_ESCALATED:
            yield f"incident {other.id} has just escalated there"


def _others_at_work(machine: Machine, step: Step, now: datetime) -> Iterator[str]:
    if ACTIONS[step.action].only_undoes:
        return
    disrupts = ACTIONS[step.action].disrupts
    if Fault.MONITOR_SAYS in machine.faults:  # a story has it from its beginning, or not at all
        yield f"its monitors are {machine.faults[Fault.MONITOR_SAYS].value}"
    asked = {Fault.LOGGED_ON: "somebody is logged on"}
    if disrupts in (Disruption.MOVE, Disruption.REBOOT):
        asked[Fault.REBOOT_PENDING] = "a reboot is pending"
    for fault, why in asked.items():
        injected = machine.faults.get(fault)
        if injected is not None and now - injected.at > SEEN_WITHIN:
            yield why
