"""The checker is right about a sample of mutants; `make mutants` judges them all."""

from functools import cache

import pytest

from daemon.simulation.campaign import hush
from statemachines.checker import prove
from statemachines.checker.findings import Finding
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import Definition
from tests.mutants.campaign import Checker, Report, every_mutant, judge
from tests.mutants.edits import Mutant
from tests.mutants.stories import Played, long_stories

SHIPPED = load_runbooks(shipped_directory())
SAMPLE = 20


@cache
def nights() -> dict[str, list[Played]]:
    return {definition.runbook: long_stories(SHIPPED, definition.runbook) for definition in SHIPPED}


@cache
def all_mutants() -> list[Mutant]:
    return every_mutant(SHIPPED)[0]


def without(rule: str) -> Checker:
    def checker(definition: Definition) -> tuple[Finding, ...]:
        return tuple(finding for finding in prove(definition) if finding.rule != rule)

    return checker


def test_no_mutant_of_a_sample_is_accepted_and_does_harm() -> None:
    hush()
    report, played = Report(), nights()
    found = all_mutants()
    for mutant in found[7 :: len(found) // SAMPLE]:
        report.add(judge(mutant, played[mutant.definition.runbook], SHIPPED))
    assert not report.harmful
    assert report.total.mutants >= SAMPLE
    assert report.total.rejected
    assert report.total.accepted
    assert report.plays


def test_the_shipped_runbooks_break_no_rule_on_the_stories() -> None:
    hush()
    broken = {night.shows: night.broken for ours in nights().values() for night in ours if night.broken}
    assert not broken


def test_an_edit_is_told_once_and_never_equals_the_shipped_runbook() -> None:
    found = all_mutants()
    shipped = {definition.hash for definition in SHIPPED}
    hashes = [mutant.definition.hash for mutant in found]
    assert len(set(hashes)) == len(hashes)
    assert not shipped & set(hashes)
    assert all(mutant.passes or mutant.enters for mutant in found)


#: A rule of the checker, and a mutant that nothing else would stop: the campaign must see what it does.
BLIND = {
    "unverified": "pop-proxy: next state redirected: restart: done -> resolved",
    "cycle": "pop-proxy: next state redirected: restart: done -> restart",
    "field": "pop-proxy: next state redirected: restart: done -> reboot.back",
}


@pytest.mark.parametrize("rule", BLIND)
def test_with_a_rule_switched_off_the_campaign_finds_a_mutant_that_is_accepted_and_does_harm(rule: str) -> None:
    hush()
    mutant = next(mutant for mutant in all_mutants() if mutant.name == BLIND[rule])
    seeing, blind = (
        judge(mutant, nights()[mutant.definition.runbook], SHIPPED, checker) for checker in (prove, without(rule))
    )
    assert not seeing.accepted
    assert rule in seeing.rules
    assert blind.accepted
    assert blind.harm
