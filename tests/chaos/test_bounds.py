"""Times that must fit together, or a crash in the wrong moment always ends with a human."""

from daemon.adapters.winrm.conversation import IDLE
from daemon.config.guardrails import Timing
from daemon.config.settings import WinrmSettings
from statemachines.actions import ACTIONS, Effect

SHORTEST = min(spec.deadline.total_seconds() for spec in ACTIONS.values() if spec.effect is not Effect.READ)


def test_a_process_that_waits_for_its_script_for_ever_is_gone_before_the_deadline_of_any_effect() -> None:
    # A minute more, for the looks at it.
    assert WinrmSettings().effect_timeout + IDLE + 60 < SHORTEST


def test_an_effect_that_was_never_sent_can_be_withdrawn_before_its_deadline() -> None:
    assert Timing().send_window + 60 < SHORTEST
