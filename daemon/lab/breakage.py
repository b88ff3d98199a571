"""Breaking a lab server and curing it: what each fault does at once, and what it does not go together with."""

from daemon.domain.errors import OperatorError
from daemon.lab.databases import ActiveManager
from daemon.lab.fault_words import SET_SCRIPTS
from daemon.lab.faults import SICKNESS, Fault, Injected, injected
from daemon.lab.health import HealthManager
from daemon.lab.operating_system import Windows
from daemon.lab.organisation import FRONT_END, Machine, Monitor, Organisation, Power, Service

_COPIES = (Fault.LAGGED_COPIES, Fault.SUSPENDED_COPIES, Fault.COPY_STATUS)
_ACTIVE = (Fault.DATABASE_STUCK, Fault.DATABASE_NAME)
_FRONT_END_ONLY = (Fault.BACKEND_SICK, Fault.POPPROXY_INACTIVE, Fault.LOG_NAMES_NOBODY, Fault.LOG_COLUMNS_DIFFER)
_AWAY = frozenset({Fault.NEVER_BACK, Fault.MEMBER_DOWN})
_OF_A_SERVICE = (
    Fault.SERVICE_HANGS,
    Fault.SERVICE_DIES,
    Fault.HAS_DEPENDENT,
    Fault.START_TYPE,
    Fault.START_REFUSED,
    Fault.WINDOWS_DENIES,
)
DEPENDENT = "ContosoPopWatch"  #: a service that is not Exchange's
_PID = 4800
_IN_A_DAG = (Fault.NODE_PAUSED, Fault.MEMBER_DOWN, Fault.REPLICATION_FAILED, Fault.WITNESS)


class Breakage:
    """Injects faults and takes them away. Call with the model's lock held."""

    def __init__(
        self, organisation: Organisation, windows: Windows, health: HealthManager, databases: ActiveManager
    ) -> None:
        self._organisation = organisation
        self._windows = windows
        self._health = health
        self._databases = databases

    def inject(self, machine: Machine, fault: Injected) -> None:
        """Break a server.

        Raises:
            OperatorError: the fault makes no sense on that server; nothing has changed.
        """
        self._check(machine, fault)
        machine.faults[fault.fault] = fault
        if fault.fault in _OF_A_SERVICE:
            self._break_service(machine, fault)
        elif fault.fault is Fault.HEALS_ITSELF:
            self._windows.timeline.after(fault.minutes * 60, lambda: self._heal(machine, fault))
        elif fault.fault is Fault.BACKEND_SICK and fault.backend:
            machine.backend = self._organisation.find(fault.backend)
        elif fault.fault is Fault.MAINTENANCE:
            self._maintain(machine, fault, begins=True)
        elif fault.fault is Fault.POPPROXY_INACTIVE and machine.services[FRONT_END].running:
            self._windows.stop_service(machine, machine.services[FRONT_END])
        elif fault.fault is Fault.MEMBER_DOWN:
            self._windows.crash(machine)
        elif fault.fault is Fault.DATABASE_NAME:
            self._organisation.rename(fault.database, fault.called)
        elif fault.fault is Fault.OTHER_CAS_SICK:
            for other in self._other_cas(machine):
                self.inject(other, injected(Fault.INCURABLE, {"service": FRONT_END}, fault.at))
        self._health.assess(machine)

    def clear(self, machine: Machine, fault: Fault) -> None:
        """Take a fault away; a server that is away because of it boots, a service it stopped runs again."""
        taken = machine.faults.pop(fault, None)
        if taken is None:
            return
        if fault in _AWAY and machine.power is Power.OFF and not machine.faults.keys() & _AWAY:
            self._windows.boot(machine)
        elif fault in _OF_A_SERVICE:
            self._mend_service(machine, taken)
        elif fault is Fault.MAINTENANCE:
            self._maintain(machine, taken, begins=False)
        elif fault is Fault.DATABASE_NAME:
            self._organisation.rename(taken.called, taken.database)
        elif fault is Fault.POPPROXY_INACTIVE and machine.answering:
            self._start_again(machine, FRONT_END, stopped_too=True)
        elif fault is Fault.OTHER_CAS_SICK:
            for other in self._other_cas(machine):
                self.clear(other, Fault.INCURABLE)
        self._health.assess(machine)

    def _break_service(self, machine: Machine, fault: Injected) -> None:
        service = machine.services[fault.service]
        if fault.fault is Fault.START_TYPE:
            service.start_type = fault.start_type
        elif fault.fault is Fault.SERVICE_HANGS and fault.how == "starting":
            service.status = "StartPending"
        elif fault.fault is Fault.HAS_DEPENDENT:
            machine.services[DEPENDENT] = Service(
                name=DEPENDENT,
                start_type=fault.start_type,
                # It runs where what it depends on does.
                status="Running" if service.pid else "Stopped",
                pid=_PID if service.pid else 0,
                started_at=service.started_at,
                depends_on=(service.name,),
            )

    def _mend_service(self, machine: Machine, taken: Injected) -> None:
        if taken.fault is Fault.START_TYPE:
            machine.services[taken.service].start_type = "Automatic"
        elif taken.fault is Fault.SERVICE_HANGS:
            self._start_again(machine, taken.service)
        elif taken.fault is Fault.SERVICE_DIES and machine.answering:
            self._start_again(machine, taken.service, stopped_too=True)
        elif taken.fault is Fault.HAS_DEPENDENT:
            del machine.services[DEPENDENT]

    def _heal(self, machine: Machine, fault: Injected) -> None:
        if machine.faults.get(fault.fault) is fault:
            self.clear(machine, fault.fault)

    def _start_again(self, machine: Machine, name: str, *, stopped_too: bool = False) -> None:
        service = machine.services[name]
        if service.status == "StartPending":
            self._windows.start_service(machine, service)
        elif service.status == "StopPending" or (stopped_too and service.status == "Stopped"):
            self._windows.finish_stop(machine, service)
            self._windows.start_service(machine, service)

    def _maintain(self, machine: Machine, fault: Injected, *, begins: bool) -> None:
        if fault.form == "activation":
            self._databases.set_blocked(machine, begins)
        elif fault.form == "policy":
            machine.activation_policy = "Blocked" if begins else "Unrestricted"

    def _other_cas(self, machine: Machine) -> list[Machine]:
        return [
            other
            for other in self._organisation.machines.values()
            if other is not machine and other.site == machine.site and FRONT_END in other.services
        ]

    def _check(self, machine: Machine, fault: Injected) -> None:
        """Fill in what the options left open, and refuse what the server does not have."""
        if fault.monitor or fault.fault is Fault.SECOND_TARGET_BAD:
            monitor = _monitor(machine, fault.monitor)
            fault.monitor = monitor.name
            fault.service = fault.service or monitor.service
        if fault.fault in SICKNESS or fault.fault in _OF_A_SERVICE:
            fault.service = fault.service or machine.pop_service
            if fault.service not in machine.services:
                raise OperatorError(f"{machine.name} has no service {fault.service}: {', '.join(machine.services)}.")
        if fault.fault in _FRONT_END_ONLY and FRONT_END not in machine.services:
            raise OperatorError(
                f"{machine.name} has no POP front end, so the fault {fault.fault} makes no sense there."
            )
        if fault.fault in _IN_A_DAG and machine.dag is None:
            raise OperatorError(f"{machine.name} is in no DAG, so the fault {fault.fault} makes no sense there.")
        if fault.fault is Fault.OTHER_CAS_SICK and not self._other_cas(machine):
            raise OperatorError(f"The site {machine.site} of {machine.name} has no other Client Access server.")
        if fault.fault is Fault.DEPENDENCY_SICK:
            known = sorted(
                {monitor.health_set for monitor in machine.monitors if not monitor.health_set.startswith("POP")}
            )
            if fault.health_set.lower() not in {name.lower() for name in known}:
                raise OperatorError(f"{machine.name} has no health set {fault.health_set}: {', '.join(known)}.")
        _check_texts(fault)
        if fault.fault is Fault.CHANGE_LOST and fault.script not in ("", *SET_SCRIPTS):
            raise OperatorError(f"{fault.script} sends Exchange no change: {', '.join(SET_SCRIPTS)} do.")
        self._check_maintenance(machine, fault)
        self._check_backend(fault)
        self._check_database(machine, fault)

    def _check_maintenance(self, machine: Machine, fault: Injected) -> None:
        if fault.fault is not Fault.MAINTENANCE:
            return
        if fault.form != "server_wide_offline" and not machine.mailbox:
            raise OperatorError(f"{machine.name} is no Mailbox server, so {fault.form} makes no sense there.")

    def _check_backend(self, fault: Injected) -> None:
        backend = self._organisation.find(fault.backend) if fault.backend else None
        if fault.backend and (backend is None or not backend.mailbox):
            raise OperatorError(f"{fault.backend!r} is no Mailbox server of the lab.")

    def _check_database(self, machine: Machine, fault: Injected) -> None:
        if fault.fault in _ACTIVE:
            active = [database.name for database in self._organisation.active_on(machine)]
            if not active:
                raise OperatorError(f"{machine.name} holds no active database now.")
            fault.database = fault.database or active[0]
            if fault.database not in active:
                raise OperatorError(
                    f"{fault.database} is not active on {machine.name}; active are {', '.join(active)}."
                )
            if fault.fault is Fault.DATABASE_NAME:
                self._check_name(machine, fault)
        elif fault.fault in _COPIES:
            here = self._organisation.copies_on(machine)
            copies = [database.name for database in here if database.active != machine.name]
            if not copies or fault.database not in ("", *copies):
                raise OperatorError(f"{machine.name} has no passive copy {fault.database}: {', '.join(copies)}.")

    def _check_name(self, machine: Machine, fault: Injected) -> None:
        if fault.fault in machine.faults:
            raise OperatorError(f"A database of {machine.name} has another name already: cure {fault.fault} first.")
        if fault.called in self._organisation.databases:
            raise OperatorError(f"There is a database {fault.called} already.")


def _check_texts(fault: Injected) -> None:
    if not fault.reason.strip():
        raise OperatorError("The reason of a failing probe cannot be empty.")
    if not all(fault.accounts):
        raise OperatorError(f"{fault.account!r} names nobody who could be logged on.")


def _monitor(machine: Machine, name: str) -> Monitor:
    """The monitor of that name, in any case; without a name the first that watches the server's POP service."""
    for monitor in machine.monitors:
        if monitor.name.lower() == name.lower() or (not name and monitor.service == machine.pop_service):
            return monitor
    names = ", ".join(monitor.name for monitor in machine.monitors)
    raise OperatorError(f"{machine.name} has no monitor {name}: {names}.")
