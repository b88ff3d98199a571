"""What each shipped script does, in Python, on the model. The contract is the docstring of `daemon.exchange.answers`.

Written against that text and not with that module's code, so that lab and daemon cannot be wrong together unnoticed.
Every handler runs with the model's lock held, which only `call.process.wait` gives up.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from daemon.lab.database_answers import database_copies, set_activation
from daemon.lab.exchange_answers import dag_health, exchange_server, organisation, pop_settings, set_protocol_log
from daemon.lab.faults import Fault, Injected
from daemon.lab.organisation import (
    BACK_END,
    CTP_MONITOR,
    FRONT_END,
    HEALTH_MANAGER,
    Machine,
    Monitor,
)
from daemon.lab.own_logs import probe_session, protocol_log, recovery_log
from daemon.lab.restart import restart_service
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall, shown
from daemon.lab.windows_answers import reboot, server_state, step_running

#: A failing probe tells the password of its monitoring mailbox to whoever asks. So does the lab's, so that everything
#: which is made of an answer can be searched for it.
PROBE_PASSWORD = "9x;R,q2:Hb=7_mailbox"  # noqa: S105 - of a mailbox that does not exist

#: Seconds after which the probe of a service that hangs says that it failed.
_HUNG_PROBE = 110
#: What monitors say that they watch. Those of other health sets say nothing here.
_RESOURCES = {BACK_END: "MSExchangePop3BE", FRONT_END: "MSExchangePop3"}


def _health_manager(command: str, machine: Machine) -> None:
    if not machine.runs(HEALTH_MANAGER):
        raise Refusal("broken", f"{command}: The Health Manager on {machine.name} cannot be reached.")


async def server_health(call: ScriptCall) -> Result:
    """Get-ServerHealth: no rows for a health set that the server does not have. `POP*`: all that begin so."""
    machine = call.target()
    wanted = call.texts("health_sets")
    _health_manager("Get-ServerHealth", machine)
    found = [monitor for monitor in machine.monitors if any(_wanted(monitor.health_set, each) for each in wanted)]
    return {"rows": [row for monitor in found for row in _health_rows(machine, monitor)]}


def _wanted(health_set: str, asked: str) -> bool:
    named, prefix = health_set.lower(), asked.lower().removesuffix("*")
    return named.startswith(prefix) if asked.endswith("*") else named == prefix


def _health_rows(machine: Machine, monitor: Monitor) -> Iterator[Result]:
    row = _health_row(machine, monitor)
    yield row
    second = machine.faults.get(Fault.SECOND_TARGET_BAD)
    if second is not None and second.monitor == monitor.name:
        yield {**row, "target_resource": "Second", "alert_value": "Unhealthy"}


def _health_row(machine: Machine, monitor: Monitor) -> Result:
    said = _struck(machine, monitor, Fault.MONITOR_SAYS)
    null = Fault.NULLS in machine.faults
    return {
        "server": machine.name,
        "name": monitor.name,
        "target_resource": "" if null else _RESOURCES.get(monitor.service, ""),
        "health_set": monitor.health_set,
        "alert_value": monitor.value if said is None else said.value,
        "is_stale": monitor.stale or _struck(machine, monitor, Fault.STALE_MONITOR) is not None,
        "current_health_set_state": "" if null else "NotApplicable",
        "last_transition": None if null else shown(machine, monitor.last_transition),
        "error": "" if said is None else said.error,
    }


def _struck(machine: Machine, monitor: Monitor, fault: Fault) -> Injected | None:
    """The fault, if it is about this monitor's row: the one it names, or any of POP."""
    found = machine.faults.get(fault)
    if found is None:
        return None
    about = found.monitor == monitor.name if found.monitor else monitor.health_set.startswith("POP")
    return found if about else None


async def invoke_probe(call: ScriptCall) -> Result:
    """Invoke-MonitoringProbe: a probe that the server does not have, or cannot run, gives a warning and no object."""
    machine = call.target()
    identity = f"{call.text('health_set')}\\{call.text('probe')}"
    _health_manager("Invoke-MonitoringProbe", machine)
    fits = [each for each in machine.monitors if f"{each.health_set}\\{each.probe}".lower() == identity.lower()]
    if not fits or not call.simulation.health.runs_probe(machine, fits[0]):
        warning = (
            f"Could not find assembly or object definition of the monitor identity '{identity}' on {machine.name}."
        )
        return {"objects": [], "warnings": [warning]}
    monitor, started = fits[0], call.simulation.timeline.now()
    await call.process.wait(_HUNG_PROBE if machine.hangs(monitor) else 2)
    _health_manager("Invoke-MonitoringProbe", machine)
    sick = machine.sick(monitor)
    writes = machine.backend is not None and machine.runs(FRONT_END) and not machine.hangs(monitor)
    if monitor.name == CTP_MONITOR and writes:
        machine.pop_log.probes.append(probe_session(machine, started, served=not sick))
    ran = (shown(machine, started), shown(machine, call.simulation.timeline.now()))
    told = {
        "server": machine.name,
        # As Exchange knows it, however it was asked for.
        "monitor_identity": f"{monitor.health_set}\\{monitor.probe}",
        "request_id": str(uuid5(NAMESPACE_OID, f"{call.step} {ran[0]}")),
        "started": ran[0],
        "ended": ran[1],
    }
    if Fault.NULLS in machine.faults:
        told |= {"request_id": "", "started": None, "ended": None}
    return {"objects": [told | _outcome(machine, monitor, failed=sick)], "warnings": []}


def _outcome(machine: Machine, monitor: Monitor, *, failed: bool) -> Result:
    """What a probe found; one that fails quotes its mailbox's password wherever it can."""
    says = machine.faults.get(Fault.PROBE_SAYS)
    if not failed and says is None:
        empty = dict.fromkeys(("error", "exception", "reason", "failure_context"), "")
        return {"result_type": "Succeeded", **empty}
    incurable = machine.faults.get(Fault.INCURABLE)
    problem = f"No connection to {monitor.service} on {machine.name}."
    return {
        "result_type": "Failed" if says is None else says.value,
        "error": f"{problem}\r\nPassword: {PROBE_PASSWORD}",
        "exception": f"System.ApplicationException: {problem}\r\n   Pwd={PROBE_PASSWORD}",
        "reason": "Networking" if incurable is None else incurable.reason,
        "failure_context": f"Bad password for Monitoring Account:\r\n {PROBE_PASSWORD}",
    }


#: The handler of each shipped script.
HANDLERS: Mapping[str, Callable[[ScriptCall], Coroutine[Any, Any, Result]]] = MappingProxyType(
    {
        "server_health": server_health,
        "invoke_probe": invoke_probe,
        "database_copies": database_copies,
        "set_activation": set_activation,
        "server_state": server_state,
        "restart_service": restart_service,
        "reboot": reboot,
        "step_running": step_running,
        "exchange_server": exchange_server,
        "dag_health": dag_health,
        "recovery_log": recovery_log,
        "pop_settings": pop_settings,
        "set_protocol_log": set_protocol_log,
        "protocol_log": protocol_log,
        "organisation": organisation,
    }
)

#: Scripts that change something; the others are only counted.
CHANGING = frozenset({"set_activation", "restart_service", "reboot", "set_protocol_log"})


async def carry_out(script: str, call: ScriptCall, error: Fault | None = None) -> Result:
    """Run a script's twin. `error`: an error of its own that befalls it, if those of its servers do not."""
    about = call.simulation.organisation.find(str(call.args.get("server", "")))
    servers = (call.executor, None if about is call.executor else about)
    words = "You cannot call a method on a null-valued expression."

    def struck(fault: Fault) -> bool:
        return error is fault or call.simulation.strike(fault, *servers, script=script) is not None

    if struck(Fault.SCRIPT_BROKEN):
        raise Refusal("broken", words)
    call = replace(call, empty=struck(Fault.EMPTY_ANSWER))
    result = await HANDLERS[script](call)
    if call.empty:
        result = {name: [] if isinstance(value, list) else value for name, value in result.items()}
    if struck(Fault.SCRIPT_DIES):
        if script in CHANGING and result.get("changed", True):
            raise Lost(words)
        raise Refusal("broken", words)
    return result
