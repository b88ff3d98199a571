"""Proves that a runbook can do no harm, or shows the shortest path on which it would.

    findings = prove(definition)   nothing: every path of the ladder keeps every rule of `RULES`
    prove(definition, ceilings)    the same, for a site that lets a ladder do less than `CEILINGS`
    bounds(definition)             how often it disturbs a server and how long it takes, at the most

It walks the very table the machine is made of (`statemachines/table.py`), over every outcome of every action, a lost
answer and a death at each effect, an operator who closes the incident anywhere, and every kind of server on which the
alert may come. Pure: no I/O, no clock.
"""

from collections.abc import Mapping

from statemachines.actions import Disruption
from statemachines.checker.bounds import Bounds, bounds
from statemachines.checker.findings import RULES, Finding, Hop, spell
from statemachines.checker.rules import CEILINGS
from statemachines.checker.structure import structure
from statemachines.checker.walk import walk
from statemachines.model import Definition

__all__ = ["CEILINGS", "NO_LADDER", "RULES", "Bounds", "Finding", "Hop", "bounds", "prove", "spell"]

#: What is found without walking, and without which there is nothing that could be walked or compiled.
NO_LADDER = frozenset({"name", "action", "target", "outcome", "unknown", "cycle"})


def prove(definition: Definition, ceilings: Mapping[Disruption, int] = CEILINGS) -> tuple[Finding, ...]:
    """Everything wrong with an expanded runbook; nothing means that it is proven."""
    found = tuple(structure(definition))
    if any(finding.rule in NO_LADDER for finding in found) or definition.start not in definition.states:
        return found
    known = {(finding.rule, finding.state, finding.place) for finding in found}
    walked = walk(definition, ceilings).findings
    return (*found, *(one for one in walked if (one.rule, one.state, one.place) not in known))
