"""The gates that need no server: quarantine, kill switch, mode."""

from datetime import timedelta

from daemon.config import Timing
from daemon.domain import Mode, Quarantine
from daemon.gates.verdicts import Allow, Hold, Refuse


def may_act(
    *,
    what: str,
    mode: Mode,
    paused: str | None,
    quarantine: Quarantine | None,
    timing: Timing,
) -> Allow | Hold | Refuse:
    """The gates that need no server: mode, kill switch, quarantine. `what` is the effect in plain words."""
    if quarantine is not None:
        return Refuse(
            reason=f"{quarantine.server} is quarantined since {quarantine.since:%Y-%m-%d %H:%M} UTC: "
            f"{quarantine.reason}; check the server, then `exmedic release {quarantine.server}`"
        )
    if paused is not None:
        after, deadline = timedelta(seconds=timing.hold_recheck), timedelta(seconds=timing.hold_deadline)
        return Hold(reason=f"paused: {paused}", after=after, deadline=deadline)
    if mode is Mode.OBSERVE:
        after, deadline = timedelta(seconds=timing.latch_recheck), timedelta(seconds=timing.observe_deadline)
        return Hold(reason=f"mode observe: would {what}", after=after, deadline=deadline, lets_go=True)
    return Allow()
