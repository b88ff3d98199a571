"""What a server's monitors depend on beside their own service: while it is unhealthy, restarting POP cures nothing."""

from datetime import timedelta

from daemon.config.guardrails import ONLY_MAILBOX, Dependencies, Timing
from daemon.domain.causes import CauseKind, Found
from daemon.domain.inventory import Role, Server
from daemon.domain.verdicts import Allow, CannotTell, Hold, Verdict
from daemon.exchange.answers import HealthRow, ServerHealth, same_server
from daemon.remediation.actions.preconditions.facts import Dependency, Facts
from statemachines.model import Need

#: Somebody repairs it, or Exchange does: as good as unhealthy. What is neither here nor below does not decide.
_UNWELL = frozenset({"unhealthy", "degraded", "repairing"})
_WELL = frozenset({"healthy", "disabled"})


def dependency(name: Need, server: Server, settings: Dependencies) -> Dependency:
    """What is asked about one dependency of a server, or why nothing is."""
    health_set = settings.health_set(name)
    if not health_set:
        return Dependency(name=name, noted="no health set tells of it")
    if name in ONLY_MAILBOX and Role.MAILBOX not in server.roles:
        return Dependency(name=name, noted=f"{server.name} is no Mailbox server and has no health set {health_set}")
    return Dependency(name=name, health_set=health_set)


def dependencies_healthy(facts: Facts) -> Verdict:
    """Every dependency that has a health set is Healthy on the server; those that have none are noted."""
    return judged(facts.server, facts.dependencies, facts.health, facts.timing)


def judged(
    server: Server, dependencies: tuple[Dependency, ...], health: ServerHealth | None, timing: Timing
) -> Allow | CannotTell | Hold:
    """The same, where other facts may be missing."""
    doubt = None
    figures: dict[str, str] = {}
    for about in dependencies:
        healthy, shown = standing(health, about, server.name) if about.health_set else (True, about.noted)
        if healthy is False:
            return _hold(server, about, shown, timing)
        if healthy is None and doubt is None:
            doubt = CannotTell(reason=f"{about} on {server.name}: {shown}")
        figures[about.name] = shown
    return doubt or Allow(figures=figures)


def standing(health: ServerHealth | None, about: Dependency, server: str) -> tuple[bool | None, str]:
    """Whether it is healthy on a server, None when its monitors do not tell; and what they show."""
    rows = [row for row in health.rows if _tells(row, about, server)] if health else []
    unwell = [row for row in rows if row.alert_value.lower() in _UNWELL and not row.is_stale]
    if unwell:
        more = f" and {len(unwell) - 1} more" if len(unwell) > 1 else ""
        return False, f"{unwell[0].name} is {unwell[0].alert_value}{more}"
    unclear = [row for row in rows if row.is_stale or row.alert_value.lower() not in _WELL]
    if unclear:
        return None, f"{unclear[0].name} is {unclear[0].alert_value}{' and stale' if unclear[0].is_stale else ''}"
    healthy = sum(row.alert_value.lower() == "healthy" for row in rows)
    if not healthy:
        return None, (
            "Get-ServerHealth shows no Healthy monitor of it; if it is called otherwise there, "
            "[dependencies] can say so"
        )
    return True, f"{about.health_set}: {healthy} of {len(rows)} monitors Healthy"


def _tells(row: HealthRow, about: Dependency, server: str) -> bool:
    return same_server(row.server, server) and row.health_set.lower() == about.health_set.lower()


def _hold(server: Server, about: Dependency, why: str, timing: Timing) -> Hold:
    return Hold(
        reason=f"{about} is not healthy on {server.name}: {why}; no restart, move or reboot cures what depends on it",
        after=timedelta(seconds=timing.hold_recheck),
        deadline=timedelta(seconds=timing.hold_deadline),
        lets_go=True,
        found=Found(kind=CauseKind.DEPENDENCY, what=str(about), servers=(server.name,)),
    )
