"""What a turn is given."""

from dataclasses import dataclass

from daemon.domain.ports import Outside
from daemon.exchange.silences import AttentiveShell
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.engine import Engine
from daemon.remediation.incidents.opening import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What each turn is given: what decides, what asks and acts, and what guardrails see. Only its session opens it."""

    guards: GuardContext
    shell: AttentiveShell
    engine: Engine
    family: Family
    outside: Outside | None = None
