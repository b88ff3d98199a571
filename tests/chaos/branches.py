"""Every branch of the shipped ladders that the lab can play: the scenarios of the acceptance tests, each by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.lab.faults import Fault
from tests.acceptance.page_ctp import CTP_SCENARIOS
from tests.acceptance.page_front_end import PROXY_SCENARIOS, SLOW_SCENARIOS
from tests.acceptance.page_refusals import KEPT, LEFT_ALONE, UNNAMED
from tests.acceptance.scenarios import DEEP, ESCALATED, Scenario
from tests.acceptance.test_ladders import WORLDS, Case


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch: what is broken and alerted, most often one scenario."""

    ladder: str  #: the monitor whose ladder it is
    shows: str
    scenarios: Sequence[Scenario]


#: Scenarios that need another one of their batch, by what they show.
NEEDS = {
    "the Mailbox server cannot be healed": "that Mailbox server, whose own alert came too",
    "the only other Client Access server of the site": "PopProxy Inactive at the request of Managed Availability",
}


def branches() -> tuple[Branch, ...]:
    """All of them, always in the same order."""
    page = (*CTP_SCENARIOS, *PROXY_SCENARIOS, *SLOW_SCENARIOS, *LEFT_ALONE, *KEPT, *UNNAMED)
    found = [Branch(scenario.monitor or "(no monitor)", scenario.shows, _together(scenario, page)) for scenario in page]
    cases = [_scenario(case) for world in WORLDS.values() for case in world]
    return (*found, *(Branch(DEEP, scenario.shows, [scenario]) for scenario in cases))


def _together(scenario: Scenario, page: Sequence[Scenario]) -> list[Scenario]:
    needed = [need for shows, need in NEEDS.items() if scenario.shows.startswith(shows)]
    return [scenario, *(other for other in page for need in needed if other.shows.startswith(need))]


def _scenario(case: Case) -> Scenario:
    """A case of the Mailbox server's ladder as a scenario."""
    faults = {fault: {"minutes": 1.0} if fault is Fault.HEALS_ITSELF else {} for fault in case.faults}
    effects = tuple("restart MSExchangePOP3BE" if effect == "restart" else effect for effect in case.effects)
    left = ("activation",) if "stop_activation" in effects and "allow_activation" not in effects else ()
    return Scenario(
        batch="",
        shows=f"{', '.join(case.faults) or 'nothing'} at {case.server}",
        server=case.server,
        monitor=DEEP,
        faults=faults,
        ends=case.ends,
        effects=effects,
        why=case.why,
        left=left if case.ends is ESCALATED else (),
    )
