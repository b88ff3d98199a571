"""The settings that keep exmedic from doing too much: modes, waits, budgets, storms and shared causes."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from daemon.config.fields import Name, Seconds, Section, SitePath
from daemon.config.whereabouts import DEFAULTS
from daemon.domain.verdicts import Mode
from statemachines.actions import ACTIONS, Disruption
from statemachines.checker import CEILINGS
from statemachines.model import Need


def _observe(value: object) -> object:
    if value != Mode.OBSERVE:
        raise ValueError('must be "observe": others are given by auto_tags and [[safety.modes]]')
    return value


class ActionClass(StrEnum):
    """What a rule for modes tells apart. Reading is always allowed."""

    RESTART = "restart"
    MOVE = "move"
    REBOOT = "reboot"
    SETTING = "setting"  # the protocol log


class ModeRule(Section):
    """A mode for some servers and actions; what is left out means all. Which rule wins: `guardrails.modes`."""

    mode: Mode
    tags: tuple[Name, ...] = ()
    servers: tuple[Name, ...] = ()
    actions: tuple[ActionClass, ...] = ()

    @model_validator(mode="after")
    def _auto_is_given(self) -> "ModeRule":
        if self.mode is Mode.AUTO and not (self.tags or self.servers):
            raise ValueError("must name tags or servers where mode is auto: no server is healed by default")
        return self


class Safety(Section):
    """Modes and the kill switch. A server's mode is `auto` or `approve` only if a rule or one of its tags says so."""

    mode: Annotated[Literal[Mode.OBSERVE], BeforeValidator(_observe)] = Mode.OBSERVE
    auto_tags: tuple[Name, ...] = ()
    modes: tuple[ModeRule, ...] = ()
    pause_file: SitePath = DEFAULTS.pause_file


class Timing(Section):
    """The waits of a ladder. Deadlines of actions are in statemachines.actions."""

    probe_failures: Annotated[int, Field(strict=True, ge=1, le=100)] = 3  #: how often the probe must fail ...
    probe_span: Seconds = 180.0  #: ... over how long
    monitor_wait: Seconds = 900.0  #: how long a passing probe waits for its monitor to agree
    hold_recheck: Seconds = 300.0  #: when a held incident asks again
    hold_deadline: Seconds = 8 * 3600.0  #: when it escalates instead
    approval_expires: Seconds = 3600.0  #: how long an operator's approval is good for
    observe_deadline: Seconds = 24 * 3600.0  #: how long mode observe watches an unhealthy server
    latch_recheck: Seconds = 1800.0  #: when an escalated or merely observed incident looks whether it is over
    facts_age: Seconds = 30.0  #: how old a gate's facts may be, in real seconds: copies, activation, the server itself
    slow_facts_age: Seconds = 120.0  #: how old those that change slowly may be when the others have been read
    send_window: Seconds = 300.0  #: until when an effect may begin, on the executing server's own clock
    verified_age: Seconds = 3600.0  #: how old the last verification may be when an effect begins
    #: Whether a probe's own reason, and the certificate, may stop a ladder.
    heed_reason: bool = Field(default=True, strict=True)
    back_apart: Seconds = 60.0  #: how far apart a rebooted server must twice be found back

    @field_validator("monitor_wait")
    @classmethod
    def _in_time(cls, value: float, info: ValidationInfo) -> float:
        deadline = ACTIONS["verify"].deadline.total_seconds()
        span = info.data.get("probe_span", 0.0)
        if span + value > deadline:
            raise ValueError(f"and probe_span must be at most {deadline:.0f} together, the deadline of verify")
        return value

    @field_validator("hold_deadline")
    @classmethod
    def _asked_again(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("hold_recheck", 0.0):
            raise ValueError("must not be less than hold_recheck: a held incident would never ask again")
        return value


_Most = Annotated[int, Field(strict=True, ge=0, le=1000)]


class Budgets(Section):
    """How often exmedic may do what, in the last hour, 12 hours or day; 0 never. Putting back is exempt."""

    ladders_a_day_server: _Most = 3  #: incidents that do anything disruptive on one server
    restarts_a_day_server: _Most = CEILINGS[Disruption.RESTART]
    moves_an_hour_server: _Most = CEILINGS[Disruption.MOVE]
    moves_a_day_dag: _Most = 4
    moves_a_day_fleet: _Most = 12
    reboots_in_12_hours_server: _Most = CEILINGS[Disruption.REBOOT]
    reboots_a_day_dag: _Most = 4
    reboots_a_day_site: _Most = 4
    reboots_a_day_fleet: _Most = 8

    def of_a_ladder(self) -> dict[Disruption, int]:
        """How often they let one ladder disturb its server, where nothing else is spent; never above the defaults."""
        anything = CEILINGS if self.ladders_a_day_server else dict.fromkeys(CEILINGS, 0)
        own = {
            Disruption.RESTART: self.restarts_a_day_server,
            Disruption.MOVE: min(self.moves_an_hour_server, self.moves_a_day_dag, self.moves_a_day_fleet),
            Disruption.REBOOT: min(
                self.reboots_in_12_hours_server,
                self.reboots_a_day_dag,
                self.reboots_a_day_site,
                self.reboots_a_day_fleet,
            ),
        }
        return {what: min(most, anything[what]) for what, most in own.items()}


_AMinute = Annotated[int, Field(strict=True, ge=1, le=1000)]


class Storms(Section):
    """How many incidents alerts may open a minute; what comes beyond that is verified later."""

    fleet: _AMinute = 30
    site: _AMinute = 15
    dag: _AMinute = 10
    #: How many pages a day tell of alerts that open none, for each of: rejected, unclear, without a runbook.
    pages_a_day: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10


class SharedCause(Section):
    """When one cause is behind several problems, or behind one: then no restart of each would cure it."""

    servers: Annotated[int, Field(strict=True, ge=2, le=1000)] = 3  #: on so many servers ...
    share: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.2  #: ... or on this part of them, whatever is fewer ...
    within: Seconds = 900.0  #: ... opened within this time
    settling: Seconds = 180.0  #: how old an incident is before its first disruptive effect


#: Those that only Mailbox servers have a health set for: a Client Access server uses another server's.
ONLY_MAILBOX: frozenset[Need] = frozenset({"Information Store", "High availability"})

_HealthSet = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]


class Dependencies(Section):
    """Which health set tells of what probes depend on (none is confirmed); empty: none does, so it is only noted."""

    active_directory: _HealthSet = "AD"
    network: _HealthSet = "Network"
    information_store: _HealthSet = "Store"
    high_availability: _HealthSet = "DataProtection"
    authentication: _HealthSet = ""
    mailbox_server_authentication: _HealthSet = ""

    def health_set(self, name: Need) -> str:
        """The health set of a dependency, as a runbook calls it."""
        return str(getattr(self, name.lower().replace(" ", "_")))
