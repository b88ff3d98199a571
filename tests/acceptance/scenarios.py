"""Scenarios: a server broken in some way, an alert about it, and how its incident must end and what it may do.

Many are played at once in one lab. In one batch no two need the same server, nor the same DAG or site for a move or a
reboot: those would queue, and of two Client Access servers of a site that are worked on neither is rebooted.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from daemon.domain.incidents import Incident, IncidentStatus, Key, Step, UndoStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import Messages, Site, fqdn
from tests.acceptance.test_alerts import scom

RESOLVED, ESCALATED = IncidentStatus.RESOLVED, IncidentStatus.ESCALATED

DEEP, SELF, CTP, PROXY = "PopDeepTestMonitor", "PopSelfTestMonitor", "PopCTPMonitor", "PopProxyTestMonitor"
SLOW = "AverageCommandProcessingTimeGt60sMonitor"
HEALTH_SETS = {DEEP: "POP.Protocol", SELF: "POP.Protocol", CTP: "POP", PROXY: "POP.Proxy", SLOW: "POP", "": ""}

#: By setting, the command with which an escalation tells how to put back what is left changed.
BY_HAND = {
    "activation": "Set-MailboxServer -Identity {server} -DatabaseCopyActivationDisabledAndMoveNow $false",
    "protocol_log": "Set-PopSettings -Server {server} -ProtocolLogEnabled $false",
    "pop_restart": "Invoke-Command -ComputerName {server} {{ Restart-Service MSExchangePOP3 }}",
    "pop_restart_back_end": "Invoke-Command -ComputerName {server} {{ Restart-Service MSExchangePOP3BE }}",
}

#: Effects, as `done_by` tells them.
FRONT, BACK = "restart MSExchangePOP3", "restart MSExchangePOP3BE"
MOVED_AND_REBOOTED = ("stop_activation", "reboot")
ALLOWED = "allow_activation"

Options = Mapping[str, object]
NO_OPTIONS: Options = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is broken, and what must become of it. Those of one `batch` are played together.

    `effects`: what the incident does to its server, by the lab's own record, in order; restarts with their service.
    `by`: steps that must be among its own, as `state: outcome`. `why`: a part of the incident's reason. `left`: the
    settings that stay changed. `opens`: server and monitor of a child that it opens, and waits for. `health_set`: only
    if the alert names no monitor. `described`: the alert comes from SCOM with an unfilled name, and this description.
    """

    batch: str
    shows: str
    server: str
    monitor: str
    faults: Mapping[Fault, Options]
    elsewhere: Mapping[str, Mapping[Fault, Options]] = field(default_factory=dict)
    ends: IncidentStatus = RESOLVED
    effects: Sequence[str] = ()
    by: Sequence[str] = ()
    why: str = "healthy"
    left: Sequence[str] = ()
    opens: tuple[str, str] | None = None
    health_set: str = ""
    described: str = ""

    @property
    def key(self) -> Key:
        """The key of its incident."""
        return Key.of(fqdn(self.server), self.health_set or HEALTH_SETS[self.monitor], self.monitor)

    @property
    def servers(self) -> frozenset[str]:
        """The servers that it breaks."""
        return frozenset({self.server, *self.elsewhere})

    def break_servers(self, site: Site) -> None:
        """Inject its faults."""
        for server, faults in {self.server: self.faults, **self.elsewhere}.items():
            for fault, options in faults.items():
                site.lab.break_server(server, fault, **options)

    async def alert(self, site: Site) -> None:
        """Publish its alert."""
        if self.described:
            body = scom(fqdn(self.server), Name="{2}", Description=self.described)
            await site.broker.publish("alerts/scom/test", body)
        else:
            health_set = self.health_set or HEALTH_SETS[self.monitor]
            await site.alert(self.server, health_set=health_set, monitor=self.monitor or None)


def set_up(site: Site, **timing: float) -> None:
    """Fewer looks and shorter waits than by default."""
    # How long a probe that passes, or a counter, waits for its monitor: the lab's take up to four minutes.
    # Two looks that fail instead of three, over a minute: as few calls as may be.
    site.configure(monitor_wait=480.0, probe_failures=2, send_window=1800.0, **timing)


async def play(site: Site, scenarios: Sequence[Scenario]) -> dict[Key, Incident]:
    """Break the servers, publish the alerts, and check every end; the incidents by key."""
    set_up(site)
    daemon = await site.daemon()
    for scenario in scenarios:
        scenario.break_servers(site)
    async with site.messages() as heard:
        for scenario in scenarios:
            await scenario.alert(site)
        await until_over(site, heard, [scenario.key for scenario in scenarios])
        assert await daemon.stop() == 0, daemon.words()
        escalations = heard.objects("exmedic/escalations")
    pages = {Key.of(page["server"], page["health_set"], page["monitor"]): str(page["text"]) for page in escalations}
    incidents = {incident.key: incident for incident in await site.incidents()}
    wrong = []
    for scenario in scenarios:
        incident = incidents[scenario.key]
        found = await differences(site, scenario, incident, pages.get(scenario.key, ""))
        found += _wrong_child(scenario, incident, incidents)
        wrong += [f"{scenario.shows} ({scenario.server}): {what}" for what in found]
    assert not wrong, "\n".join(wrong)
    await site.agrees()
    assert "violation" not in [effect.effect for effect in site.lab.effects()]
    for server in site.lab.endpoints:
        assert site.lab.open_shells(server) == 0, f"a shell was left open on {server}"
    return incidents


async def until_over(site: Site, heard: Messages, keys: Sequence[Key]) -> None:
    """Wait until the bus has heard of the end of the incidents with these keys."""
    stand: dict[Key, str] = {}
    read = 0

    def over() -> bool:
        nonlocal read
        for topic, payload in heard.all[read:]:
            read += 1
            if topic.startswith("exmedic/incidents/"):
                told = json.loads(payload)
                key = Key.of(told["server"], told["health_set"], told["monitor"])
                stand[key] = f"{told['status']} {told['state']} {told['waiting_for']}"
        return all(not stand.get(key, "open").startswith("open") for key in keys)

    try:
        await site.eventually(over, "every incident has ended")
    except AssertionError as error:
        raise AssertionError(f"{error}: {stand}") from None


def done_by(site: Site, incident: Incident) -> list[str]:
    """What one incident did, by the lab's own record, in order."""
    ours = [effect for effect in site.lab.effects() if effect.step.startswith(f"{incident.id}-")]
    return [f"restart {effect.detail}" if effect.effect == "restart" else effect.effect for effect in ours]


async def differences(site: Site, scenario: Scenario, incident: Incident, page: str) -> list[str]:
    """In what an incident is not as its scenario wants it."""
    wrong = []
    steps = await site.steps(incident)
    done = done_by(site, incident)
    if (incident.status, done) != (scenario.ends, list(scenario.effects)):
        wrong.append(f"{incident.status}, {incident.reason}, did {done}; {_told(steps)}")
    elif scenario.why not in incident.reason:
        wrong.append(f"because of {incident.reason}")
    missing = [wanted for wanted in scenario.by if wanted not in {f"{step.state}: {step.outcome}" for step in steps}]
    wrong += [f"no step {wanted}; {_told(steps)}" for wanted in missing]
    async with site.store() as store:
        items = await store.undo_items(incident.id)
        if await store.claim_holder(incident.server) == incident.id:
            wrong.append("it has ended and still claims its server")
    wrong += _left(scenario, {item.setting for item in items if item.status is UndoStatus.LEFT}, page)
    wrong += [f"{item.setting} is still pending" for item in items if item.status is UndoStatus.PENDING]
    if scenario.ends is ESCALATED and scenario.why not in page:
        wrong.append(f"its escalation does not say why: {page}")
    return wrong + _still_changed(site, scenario)


def _wrong_child(scenario: Scenario, incident: Incident, incidents: Mapping[Key, Incident]) -> list[str]:
    """Whose child an incident is, and whether it has the one that it must have opened."""
    wrong = [f"it is the child of {incident.parent}, and was opened by an alert"] if incident.parent else []
    if scenario.opens is not None:
        server, monitor = scenario.opens
        child = incidents.get(Key.of(fqdn(server), HEALTH_SETS[monitor], monitor))
        if child is None or (child.parent, child.status) != (incident.id, RESOLVED):
            wrong.append(f"its child is {child}")
    return wrong


def _told(steps: Sequence[Step]) -> str:
    return ", ".join(f"{step.state}: {step.outcome}: {step.detail}" for step in steps)


def _left(scenario: Scenario, left: set[str], page: str) -> list[str]:
    """What is left changed must be told with the command that puts it back, and nothing else must."""
    wrong = [] if left == set(scenario.left) else [f"left changed: {left or 'nothing'}"]
    for setting, command in BY_HAND.items():
        told = command.format(server=fqdn(scenario.server)) in page
        if told is not (setting in scenario.left):
            wrong.append(f"the escalation tells {'of' if told else 'nothing of'} {setting}")
    return wrong


def _still_changed(site: Site, scenario: Scenario) -> list[str]:
    """What the lab itself shows changed, beyond what may be left."""
    with site.lab.simulation.timeline.up_to_date():
        machine = site.lab.simulation.machine(scenario.server)
        shown = {
            "activation": machine.activation_blocked and Fault.MAINTENANCE not in machine.faults,
            "protocol_log": machine.pop_log.enabled,
            "pop_restart": machine.pop_log.writes,
            "pop_restart_back_end": machine.pop_log.writes,
        }
    return [
        f"the lab shows {setting} changed" for setting, is_so in shown.items() if is_so and setting not in scenario.left
    ]
