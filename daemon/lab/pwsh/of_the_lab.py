"""The world of one call, made from the lab's model: the same organisation, and what is broken in it now.

It is made anew for each call, from what is there and what is broken and never from what the lab's own handlers answer.
"""

from datetime import datetime
from typing import Any

from daemon.lab.fault_words import SET_SCRIPTS
from daemon.lab.faults import Fault
from daemon.lab.handlers import CHANGING
from daemon.lab.model import Simulation
from daemon.lab.organisation import CLIENT_ACCESS, FRONT_END, MAILBOX, TOPOLOGY, Database, Machine
from daemon.lab.own_logs import log_writer
from daemon.lab.pop_log import FOLDER
from daemon.lab.pwsh import world
from daemon.lab.pwsh.lab_exchange import (
    leave_out,
    refuse_what_is_down,
    refuse_what_is_not_granted,
    show_exchange,
    show_probes,
)
from daemon.lab.pwsh.lab_windows import show_windows
from daemon.lab.script_call import ScriptCall, netbios
from daemon.lab.security import Account

Json = dict[str, Any]

MARKS = "ProgramData/exmedic"  #: where a script leaves its mark, below the folder that it runs in
#: Windows' numbers for why a session was not opened: access denied, logon failure, 0x80338012 (nothing listens there).
_UNOPENED = {"denied": 5, "logon": 1326, "no_session": -2144108526}
_CHANGES = ("Set-MailboxServer", "Set-PopSettings")
_READS = tuple(name for name in world.GRANTED if name not in _CHANGES)
#: Faults that show in the world of a call, and those that are on the wire or come about when something is done.
IN_THE_WORLD = frozenset(
    {
        Fault.RESTART_CURES,
        Fault.REBOOT_CURES,
        Fault.INCURABLE,
        Fault.HANGING,
        Fault.HEALS_ITSELF,
        Fault.PROBE_CANNOT_RUN,
        Fault.SCRIPT_BROKEN,
        Fault.SCRIPT_DIES,
        Fault.START_REFUSED,
        Fault.BACKEND_SICK,
        Fault.LOG_NAMES_NOBODY,
        Fault.LOG_COLUMNS_DIFFER,
        Fault.STALE_MONITOR,
        Fault.MONITOR_SAYS,
        Fault.EMPTY_ANSWER,
        Fault.SECOND_TARGET_BAD,
        Fault.LAGGED_COPIES,
        Fault.SUSPENDED_COPIES,
        Fault.NODE_PAUSED,
        Fault.MAINTENANCE,
        Fault.RECOVERY_RUNNING,
        Fault.RECOVERY_RECENT,
        Fault.RECOVERY_DEAD,
        Fault.START_TYPE,
        Fault.POPPROXY_INACTIVE,
        Fault.REPLICATION_FAILED,
        Fault.MEMBER_DOWN,
        Fault.ROLES_DIFFER,
        Fault.OTHER_CAS_SICK,
        Fault.DEPENDENCY_SICK,
        Fault.CERTIFICATE,
        Fault.LOGGED_ON,
        Fault.REBOOT_PENDING,
        Fault.WINDOWS_DENIES,
        Fault.HAS_DEPENDENT,
        Fault.PROBE_SAYS,
        Fault.NULLS,
        Fault.SESSION_REFUSED,
        Fault.CMDLET_DENIED,
        Fault.NULL_PROPERTY,
        Fault.CHANGE_LOST,
        Fault.COPY_STATUS,
        Fault.WITNESS,
        Fault.DATABASE_NAME,
    }
)
OUTSIDE_IT = frozenset(
    {
        Fault.DATABASE_STUCK,
        Fault.SERVICE_HANGS,
        Fault.SERVICE_DIES,
        Fault.NEVER_BACK,
        Fault.SILENT_ENDPOINT,
        Fault.ANSWER_LOST,
        Fault.CUT_BEFORE,
        Fault.GARBAGE_ANSWER,
        Fault.WSMAN_QUOTA,
        Fault.LATE_ANSWER,
    }
)
_NULL = {"error": {"message": "You cannot call a method on a null-valued expression."}}


def world_of_call(script: str, call: ScriptCall, account: Account, since: datetime) -> Json:
    """The world of a call that reached its server at `since`. Call with the model's lock held."""
    simulation, executor = call.simulation, call.executor
    about = simulation.organisation.find(call.args.get("server", ""))
    made = _organisation(simulation, executor, account)
    for machine in simulation.organisation.machines.values():
        show_windows(made["hosts"][machine.name], simulation, machine)
    show_exchange(made["exchange"], simulation)
    if about is not None:
        show_probes(made["exchange"], about, since, simulation.timeline.now())
        refuse_what_is_down(made["exchange"], about)
        leave_out(made["exchange"], about)
    for machine in call.concerned(about):
        refuse_what_is_not_granted(made["exchange"], machine)
    upn = f"{account.name}@contoso.lab"
    made["session"] = {
        "accepts": dict.fromkeys((account.username, upn), account.password),
        "delegated": call.process.delegated,
        "code": _session(executor),
    }
    made["hosts"][executor.name]["processes"] = _processes(call)
    marks = [step for name, step in simulation.marks if name == executor.name]
    made["files"] = {f"{MARKS}/{step}.begun": "" for step in marks}
    if script == "protocol_log" and FRONT_END in executor.services:
        _logs(made, simulation, executor)
    made["lives"] = True
    _break(made, script, call, about)
    return made


def _session(executor: Machine) -> int:
    """Why no session of Exchange can be opened on that server; 0 where it can."""
    refused = executor.faults.get(Fault.SESSION_REFUSED)
    if refused is not None:
        return _UNOPENED[refused.refusal]
    return 0 if executor.runs(TOPOLOGY) else _UNOPENED["no_session"]


def _organisation(simulation: Simulation, executor: Machine, account: Account) -> Json:
    """It is healthy; what Exchange says of roles may not be what is installed."""

    def site(*, shown: bool) -> world.Site:
        return world.Site(
            servers=[_server(each, shown=shown) for each in simulation.organisation.machines.values()],
            databases=[_database(each) for each in simulation.organisation.databases.values()],
            password=account.password,
            username=account.username,
        )

    made = world.world_of(site(shown=False), host=executor.name)
    made["exchange"] = world.world_of(site(shown=True), host=executor.name)["exchange"]
    return made


def _server(machine: Machine, *, shown: bool) -> world.Server:
    roles = machine.shown_roles if shown else machine.roles
    return world.Server(
        name=machine.name,
        site=machine.site,
        mailbox=MAILBOX in roles,
        client_access=CLIENT_ACCESS in roles,
        dag=machine.dag,
    )


def _database(database: Database) -> world.Database:
    return world.Database(name=database.name, servers=[netbios(name) for name in database.copies])


def _processes(call: ScriptCall) -> list[Json]:
    """The PowerShells that run on the executing server, this call's own among them."""
    own = {"$pid": True}
    return [
        {
            "ProcessId": own if process is call.process else 40000 + number,
            "Name": "powershell.exe",
            "CommandLine": process.command_line,
            "CreationDate": {"$date": call.simulation.timeline.now().isoformat()},
        }
        for number, process in enumerate(call.siblings())
        if process.running
    ]


def _logs(made: Json, simulation: Simulation, machine: Machine) -> None:
    """The protocol log as files, each created when its own head says so."""
    now = simulation.timeline.now()
    begun = min((span.begun for span in machine.pop_log.spans), default=now)
    made["files_begun"] = {}
    for file in machine.pop_log.files(now, begun, now, log_writer(simulation, machine)):
        head = next(line for line in file.text.splitlines() if line.startswith("#Date: "))
        made["files"][f"{FOLDER}/{file.name}"] = file.text
        made["files_begun"][f"{FOLDER}/{file.name}"] = head.removeprefix("#Date: ")
    made["files"].setdefault(f"{FOLDER}/.keep", "")  # the folder is there before the first log


def _break(made: Json, script: str, call: ScriptCall, about: Machine | None) -> None:
    """What befalls the script itself: rows that do not come, and errors of its own."""

    def struck(fault: Fault) -> bool:
        return call.simulation.strike(fault, call.executor, about, script=script) is not None

    host, faults = made["hosts"][call.executor.name], made["exchange"]["faults"]
    if struck(Fault.EMPTY_ANSWER):
        faults |= {command: [{"rows": []}] for command in _READS}
    dies = struck(Fault.SCRIPT_DIES)
    if struck(Fault.SCRIPT_BROKEN) or (dies and script not in CHANGING):
        faults |= {command: [_NULL] for command in _READS}
        host["faults"]["Get-CimInstance"] = [_NULL]
    elif dies:
        faults |= {command: [{**_NULL, "when": "after"}] for command in _CHANGES}
        host["faults"]["Get-CimInstance:Win32_Process"] = [_NULL]
        if about is not None:
            made["hosts"][about.name]["shutdown"] = _NULL
    if script in SET_SCRIPTS and struck(Fault.CHANGE_LOST):
        faults |= {command: [{"kill": "before"}] for command in _CHANGES}
