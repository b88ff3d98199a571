"""The script `restart_service` in the lab: stops and starts a service, with those that depend on it."""

import math
from datetime import datetime, timedelta

from daemon.lab.faults import Fault
from daemon.lab.organisation import Service
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall
from daemon.lab.windows_answers import cim, service_named, service_state

_TO_START = 60.0  #: seconds a service gets to start
_LEAST = 1.0  #: seconds that are waited for a status, however late it is
_UNANSWERED = 30.0  #: seconds until Windows gives up on a service that does not answer an order
_READ = 1.0  #: seconds until it has read how the service is then
_CALLED = 'Exception calling "{0}" with "0" argument(s): "{1}" '


class _Failed(Exception):  # noqa: N818 - the script's own words
    """A service does not do what it was told: `hung` or `failed`, or `denied` by Windows."""

    def __init__(self, kind: str, told: str) -> None:
        self.kind = kind
        self.told = told
        super().__init__(told)


async def restart_service(call: ScriptCall) -> Result:
    """Stop and start a service. Killed in between, it leaves the service stopped, as a real script does."""
    name, timeout = call.text("service"), call.args.get("stop_timeout")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise Refusal("broken", "The argument stop_timeout must be a positive number of seconds.")
    cim(call.executor)
    service = service_named(call.executor, name)
    if service is None:
        raise Refusal("not_found", f"This server has no service {name}.")
    return await _Restart(call, service, float(timeout)).run()


class _Restart:
    """One run of it. `done`: what came of it so far, in the script's words."""

    def __init__(self, call: ScriptCall, service: Service, timeout: float) -> None:
        self.call = call
        self.machine, self.windows = call.executor, call.simulation.windows
        self.service = service
        self.timeout = timeout
        self.begun = self._now()
        self.done: list[str] = []
        self.acted = False
        self.dependents = [
            each
            for each in self.machine.services.values()
            if service.name in each.depends_on and each.status != "Stopped"
        ]

    async def run(self) -> Result:
        self._assert_startable()
        limit = self._limit()
        for each in [*self.dependents, self.service]:
            await self._wait_until_started(each, limit)
        self.call.still_wanted()
        limit = self._limit()
        owed: list[Service] = []
        try:
            for dependent in self.dependents:
                owed.append(dependent)
                await self._stop(dependent, limit)
            await self._stop(self.service, limit)
            await self._start(self.service)
        except _Failed as failed:
            raise self._said(failed.kind, await self._start_owed(owed, failed.told)) from None
        restarted = f"{self.service.name} was restarted."
        told = await self._start_owed(owed, restarted)
        if told != restarted:
            raise self._said("failed", told)
        await self.call.process.wait(_READ)
        if not self.service.pid:
            raise Lost(f"{self.service.name} was started and its process is gone again.")
        return {"service": service_state(self.machine, self.service)}

    def _said(self, kind: str, told: str) -> Refusal | Lost:
        """The answer: once it has acted, only `hung` and `failed` may be said."""
        return Lost(told) if self.acted and kind == "denied" else Refusal(kind, told)

    def _assert_startable(self) -> None:
        name = self.service.name
        if self.service.start_type == "Disabled":
            raise Refusal("conflict", f"{name} is disabled; nothing was done.")
        if self.service.start_type != "Automatic" and self.service.status == "Stopped":
            raise Refusal("conflict", f"{name} is stopped and does not start by itself; nothing was done.")
        for dependent in self.dependents:
            if dependent.start_type == "Disabled":
                told = f"{dependent.name}, which depends on {name}, runs and is disabled"
                raise Refusal("conflict", f"{told}, so it could not be started again; nothing was done.")

    async def _wait_until_started(self, service: Service, limit: datetime) -> None:
        """A service that is just starting takes no order to stop (1061), so that is waited for first."""
        if service.status == "StartPending" and not await self._reached(service, "Running", limit):
            told = f"{service.name} is still starting, so it cannot be stopped."
            raise Refusal("hung", told + self._took())

    async def _stop(self, service: Service, limit: datetime) -> None:
        if service.status not in ("Stopped", "StopPending"):
            await self._order_to_stop(service)
        if not await self._reached(service, "Stopped", limit):
            raise self._ended("hung", f"{service.name} did not stop in time; it is {service.status}.")
        self.done.append(f"{service.name} stopped")

    async def _order_to_stop(self, service: Service) -> None:
        denies = self.machine.faults.get(Fault.WINDOWS_DENIES)
        if denies is not None and denies.right == "service" and denies.service == service.name:
            words = _CALLED.format("Stop", f"Cannot open {service.name} service on computer '.'.")
            raise _Failed("denied", words + "Access is denied (error 5)")
        self._record()
        hangs = self.machine.faults.get(Fault.SERVICE_HANGS)
        if hangs is not None and hangs.service == service.name and hangs.how == "no_answer":
            await self.call.process.wait(_UNANSWERED)
            words = _CALLED.format("Stop", f"Cannot stop {service.name} on computer '.'.")
            late = "The service did not respond to the start or control request in a timely fashion (error 1053)"
            raise self._ended("hung", f"{service.name} does not answer: {words}{late}")
        self.windows.stop_service(self.machine, service)

    async def _start(self, service: Service) -> None:
        if service.status not in ("Running", "StartPending"):
            refused = self.machine.faults.get(Fault.START_REFUSED)
            if refused is not None and refused.service == service.name:
                words = _CALLED.format("Start", f"Cannot start {service.name} on computer '.'.")
                reason = words + "Access is denied (error 5)"
                if not self.acted:
                    raise _Failed("denied", reason)
                raise self._ended("failed", f"{service.name} does not start: {reason}")
            self._record()
            self.windows.start_service(self.machine, service)
        if not await self._reached(service, "Running", self._now() + timedelta(seconds=_TO_START)):
            raise self._ended("failed", f"{service.name} did not start in time; it is {service.status}.")
        self.done.append(f"{service.name} started")

    async def _start_owed(self, owed: list[Service], told: str) -> str:
        """Start those again that were stopped, the last first; what was told, and which of them cannot be."""
        left = [f"{each.name} ({said})" for each in reversed(owed) if (said := await self._start_again(each))]
        if not left:
            return told
        return f"{told} Stopped before, because it depends on it, and not running again: {', '.join(left)}."

    async def _start_again(self, service: Service) -> str:
        try:
            await self._start(service)
        except _Failed as failed:
            return failed.told
        return ""

    def _record(self) -> None:
        """The first order is what counts as the restart."""
        if not self.acted:
            self.call.simulation.record.effect(
                "restart",
                self.machine.name,
                executor=self.machine.name,
                step=self.call.step,
                detail=self.service.name,
            )
        self.acted = True

    async def _reached(self, service: Service, status: str, limit: datetime) -> bool:
        left = max(_LEAST, (limit - self._now()).total_seconds())
        return await self.call.process.wait(left, lambda: service.status == status)

    def _ended(self, kind: str, told: str) -> _Failed:
        before = f" Done before: {', '.join(self.done)}." if self.done else ""
        return _Failed(kind, told + before + self._took())

    def _took(self) -> str:
        return f" It took {round((self._now() - self.begun).total_seconds())} s."

    def _limit(self) -> datetime:
        return self._now() + timedelta(seconds=self.timeout)

    def _now(self) -> datetime:
        return self.call.simulation.timeline.now()
