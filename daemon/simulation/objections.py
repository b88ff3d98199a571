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


def objections(world: World, step: Step, server: Server) -> Iterator[str]:
    """Each reason against what is sent for a step, in words."""
    state, simulation = world.store.contents, world.simulation
    if why := unapproved(world.story.asking, state, step):
        yield why
    if window := forbidden_by(state, world.inventory, step, server):
        yield f"in the {window.title}"
    yield from ignored(world, step, SEEN_WITHIN)
    if machine := simulation.organisation.machines.get(server.name):
        yield from _others_at_work(machine, step, simulation.timeline.now())


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
