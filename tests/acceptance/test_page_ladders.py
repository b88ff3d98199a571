"""Each ladder of the page over the real protocols: healed at each rung, escalated at each, refused by preconditions.

The scenarios are in page_ctp.py, page_front_end.py, page_refusals.py, page_exchange.py and page_windows.py. The ladder
of PopDeepTestMonitor, and so of PopSelfTestMonitor, is played in test_ladders.py.
"""

from collections import Counter

import pytest

from tests.acceptance.page_ctp import CTP_SCENARIOS
from tests.acceptance.page_exchange import EXCHANGE_SAYS
from tests.acceptance.page_front_end import PROXY_SCENARIOS, SLOW_SCENARIOS
from tests.acceptance.page_refusals import KEPT, LEFT_ALONE, UNNAMED
from tests.acceptance.page_windows import WINDOWS_SAYS
from tests.acceptance.scenarios import play
from tests.acceptance.site import Site

SCENARIOS = (
    *CTP_SCENARIOS,
    *PROXY_SCENARIOS,
    *SLOW_SCENARIOS,
    *LEFT_ALONE,
    *KEPT,
    *UNNAMED,
    *EXCHANGE_SAYS,
    *WINDOWS_SAYS,
)
#: The longest first, so that they do not run alone at the end.
BATCHES = ("waits", "two", "one", "five", "six", "three", "four", "seven", "eight", "nine", "ten", "eleven", "twelve")


def test_every_scenario_is_played_and_no_two_of_a_batch_need_the_same_server() -> None:
    assert {scenario.batch for scenario in SCENARIOS} == set(BATCHES)
    broken = Counter((scenario.batch, server) for scenario in SCENARIOS for server in scenario.servers)
    assert [needed for needed, times in broken.items() if times > 1] == []


@pytest.mark.parametrize("batch", BATCHES)
async def test_every_way_through_the_ladders_ends_as_the_page_says(site: Site, batch: str) -> None:
    await play(site, [scenario for scenario in SCENARIOS if scenario.batch == batch])
