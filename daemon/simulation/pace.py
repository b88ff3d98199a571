"""Nothing spins: a ladder asks, waits and asks again, it does not hammer a server."""

from daemon.domain.incidents import Incident

_MINUTE = 60.0
_A_MINUTE = 30  #: commits of one incident within a minute that are too many


class Pace:
    """How often incidents are committed. Joins are not held against them: it is alerts that make those."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, int]] = {}  # of each incident: since when, and its version then
        self._joined: dict[str, int] = {}

    def spins(self, incident: Incident, now: float) -> bool:
        """Whether an incident was committed too often since about a minute ago. Asked after each commit."""
        since, version = self._since.get(incident.id, (now, incident.version))
        version += incident.joined != self._joined.get(incident.id, 0)  # however many joined, that was one commit
        self._joined[incident.id] = incident.joined
        passed = now - since > _MINUTE
        self._since[incident.id] = (now, incident.version) if passed else (since, version)
        return not passed and incident.version - version > _A_MINUTE
