"""The guardrails: asked before every effect, on facts read afresh. Pure decisions.

Allow, hold (not now, ask again) or refuse (never; escalate), each with the sentence and the figures that decided; and
where the facts do not decide, cannot tell, which allows nothing either.
"""

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse, Verdict
from daemon.gates.acting import not_paused, not_quarantined
from daemon.gates.budgets import limits, overspent
from daemon.gates.copies import active_here, blocked_here, copies_here, refuges
from daemon.gates.facts import Facts, Neighbour
from daemon.gates.modes import asks, class_of, may_act, mode_of, modes_of

__all__ = [
    "Allow",
    "CannotTell",
    "Facts",
    "Hold",
    "Neighbour",
    "Refuse",
    "Verdict",
    "active_here",
    "asks",
    "blocked_here",
    "class_of",
    "copies_here",
    "limits",
    "may_act",
    "mode_of",
    "modes_of",
    "not_paused",
    "not_quarantined",
    "overspent",
    "refuges",
]
