"""The gates that need no server: quarantine and kill switch."""

from datetime import timedelta

from daemon.config.guardrails import Timing
from daemon.domain.incidents import Quarantine
from daemon.domain.verdicts import Hold, Refuse


def not_quarantined(quarantine: Quarantine | None) -> Refuse | None:
    """Refuses while a server is quarantined."""
    if quarantine is None:
        return None
    return Refuse(
        reason=f"{quarantine.server} is quarantined since {quarantine.since:%Y-%m-%d %H:%M} UTC: "
        f"{quarantine.reason}; check the server, then `exmedic release {quarantine.server}`"
    )


def not_paused(paused: str | None, timing: Timing) -> Hold | None:
    """Holds while the kill switch is on; `paused` says why it is."""
    if paused is None:
        return None
    after, deadline = timedelta(seconds=timing.hold_recheck), timedelta(seconds=timing.hold_deadline)
    return Hold(reason=f"paused: {paused}", after=after, deadline=deadline)
