"""Judges a run in which the daemon was killed, against the same branch undisturbed. Pure: facts in, violations out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the lab's record. `whose`: the key of its incident. `rung`: the state, and of an undo the setting."""

    whose: str
    rung: str
    effect: str
    server: str
    undo: bool = False  #: it was sent to put something back

    @property
    def place(self) -> str:
        """The place in a ladder."""
        return f"{self.whose} {self.rung}"

    @property
    def done(self) -> tuple[str, str, str]:
        """What was done, by whomever: of several sick monitors of one server, any may be the first to claim it."""
        return self.effect, self.server, self.rung


@dataclass(frozen=True, slots=True)
class End:
    """How an incident stands at the end."""

    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run left behind, from the lab, the bus, the daemon's output and its store, each asked by itself.

    `wanted`: the keys of the alerts' incidents. `left` and `changed`: server and setting, by the store and by the lab.
    `chain` and `emitted`: the numbers and hashes of audit rows. `made`: the numbers of all bus messages
    ever committed.
    """

    wanted: frozenset[str]
    ends: Mapping[str, End]
    effects: tuple[Effect, ...]
    left: frozenset[tuple[str, str]] = frozenset()
    changed: frozenset[tuple[str, str]] = frozenset()
    pending: frozenset[tuple[str, str]] = frozenset()
    claims: tuple[str, ...] = ()
    quarantines: tuple[str, ...] = ()
    imbalance: str = ""
    audit: str = ""  #: what is wrong with the chain
    disagreement: str = ""  #: in what the lab's record and the store's steps differ
    chain: Mapping[int, str] = field(default_factory=dict)
    emitted: frozenset[tuple[int, str]] = frozenset()
    made: frozenset[int] = frozenset()
    heard: frozenset[int] = frozenset()
    alerts: int = 0
    internal_errors: tuple[str, ...] = ()


def judge(undisturbed: Facts, found: Facts) -> list[str]:
    """Everything that must not be; empty if all is well."""
    return [
        *_ends(undisturbed, found),
        *_effects(undisturbed, found),
        *_records(found),
        *_leftovers(found),
    ]


def same_end(undisturbed: Facts, found: Facts) -> bool:
    """Whether the alerts' incidents ended as undisturbed: with the same status, from the same state and outcome."""
    return all(_told(found.ends.get(key)) == _told(undisturbed.ends.get(key)) for key in undisturbed.wanted)


def reasons(found: Facts) -> str:
    """How the alerts' incidents ended, in words."""
    ends = [found.ends.get(key, End("missing", "")) for key in sorted(found.wanted)]
    return "; ".join(f"{end.status}: {end.reason}" for end in ends)


def _told(end: End | None) -> tuple[str, str]:
    if end is None:
        return "missing", ""
    return end.status, end.reason.partition(": ")[0] if end.status == "escalated" else ""


def _ends(undisturbed: Facts, found: Facts) -> Iterable[str]:
    for key in sorted(undisturbed.wanted):
        before, after = undisturbed.ends[key], found.ends.get(key)
        if after is None:
            yield f"{key} has no incident"
        elif after.status not in {before.status, "escalated"}:
            yield f"{key} is {after.status} ({after.reason}), undisturbed {before.status} ({before.reason})"
    for key, end in found.ends.items():
        if end.status not in {"resolved", "escalated"}:
            yield f"{key} has not ended: {end.status}"
        elif not end.reason:
            yield f"{key} does not say why it is {end.status}"


def _effects(undisturbed: Facts, found: Facts) -> Iterable[str]:
    places = Counter(found.effects)
    for effect, times in places.items():
        if times > 1:
            yield f"{effect.effect} of {effect.server} happened {times} times at {effect.place}"
        if effect.effect == "violation":
            yield f"the lab refused what was sent to {effect.server}"
    ahead, meant = (Counter(each.done for each in facts.effects if not each.undo) for facts in (found, undisturbed))
    for what, server, rung in ahead - meant:
        yield f"{what} of {server} at {rung} does not happen undisturbed, or not as often"
    escalated = any(found.ends[key].status == "escalated" for key in found.wanted if key in found.ends)
    missing = Counter(each.done for each in undisturbed.effects) - Counter(each.done for each in found.effects)
    if missing and not escalated:
        told = ", ".join(f"{what} of {server} at {rung}" for what, server, rung in missing)
        yield f"not done, and nobody was told: {told}"


def _records(found: Facts) -> Iterable[str]:
    if found.imbalance:
        yield f"the ledger does not balance: {found.imbalance}"
    if found.audit:
        yield f"the audit chain: {found.audit}"
    if found.disagreement:
        yield f"lab and store disagree: {found.disagreement}"
    if found.alerts != len(found.wanted):
        yield f"{found.alerts} alerts are stored, {len(found.wanted)} were sent"
    if found.made - found.heard:
        yield f"never heard on the bus: seq {_numbers(found.made - found.heard)}"
    if found.heard - found.made:
        yield f"heard on the bus and not from the store: seq {_numbers(found.heard - found.made)}"
    unseen = set(found.chain.items()) - found.emitted
    if unseen:
        yield f"audit rows never emitted: {_numbers(seq for seq, _ in unseen)}"
    if found.emitted - set(found.chain.items()):
        yield "audit rows were emitted that are not in the chain"


def _leftovers(found: Facts) -> Iterable[str]:
    for server, setting in sorted(found.changed - found.left):
        yield f"{setting} of {server} is left changed, and the store does not say so"
    for server, setting in sorted(found.pending):
        yield f"{setting} of {server} is still to be put back"
    for scope in found.claims:
        yield f"{scope} is still claimed"
    for server in found.quarantines:
        escalated = any(end.status == "escalated" for key, end in found.ends.items() if server in key)
        if not escalated:
            yield f"{server} is quarantined, and no incident of it is escalated"
    yield from (f"internal error: {error}" for error in found.internal_errors)


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))
