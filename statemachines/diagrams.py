"""Pictures of runbooks: Mermaid and SVG, from the definition alone. The same definition gives the same text.

A ladder is nearly linear: so the SVG has one state to a row, in an order in which every arrow leads down. An arrow to
the next row is straight, one over several rows takes a lane on the left, and an end stands to the right of each state
that leads to it. `docs/diagrams/` holds those of the shipped runbooks; a test keeps them current.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from html import escape

from statemachines.actions import ACTIONS, Effect
from statemachines.model import ENDS, Definition, State, UndoPolicy

_TAGS = {Effect.READ: "reads", Effect.IDEMPOTENT: "sets a value", Effect.DISRUPTIVE: "disruptive"}
_UNDO = {
    UndoPolicy.ALWAYS: "always",
    UndoPolicy.UNLESS_SICK_AFTER_REBOOT: "unless the server is still sick after its reboot",
}
#: Words of Mermaid's grammar that cannot be the name of a state there.
_MERMAID_WORDS = frozenset({"as", "class", "click", "default", "direction", "end", "note", "state", "style"})


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a state to another or to an end, with the outcomes that lead there."""

    source: str
    target: str
    outcomes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The outcomes in one line."""
        return ", ".join(self.outcomes)


def arrows(definition: Definition) -> tuple[Arrow, ...]:
    """What leads where: the outcomes that the runbook names, and of the others those that are the action's own.

    The common ones (failed, refused, unreachable, unknown) lead to `escalated` unless named; they are not drawn.
    """
    found = []
    for name, state in definition.states.items():
        targets: dict[str, list[str]] = {}
        for outcome, target in state.then.items():
            targets.setdefault(target, []).append(outcome)
        for outcome in ACTIONS[state.do].outcomes:
            # In the middle of a ladder, the engine itself sees to the rest of an undo's outcomes.
            if outcome not in state.then and not (ACTIONS[state.do].puts_back and outcome in ("more", "nothing")):
                targets.setdefault("escalated", []).append(outcome)
        found += [Arrow(name, target, tuple(outcomes)) for target, outcomes in targets.items()]
    return tuple(found)


def rows(definition: Definition) -> tuple[str, ...]:
    """The states from the first to the last, none before one that leads to it; else in the order of the file."""
    waiting = {name: set[str]() for name in definition.states}
    for arrow in arrows(definition):
        if arrow.target in waiting:
            waiting[arrow.target].add(arrow.source)
    ordered: list[str] = []
    while waiting:
        # A runbook has no cycles (the checker), so that one is always free.
        free = next(name for name, before in waiting.items() if before <= set(ordered))
        ordered.append(free)
        del waiting[free]
    return tuple(ordered)


def summary(state: State) -> str:
    """What a state does, in plain English; a parameter from an earlier state is named by that state."""
    spec = ACTIONS[state.do]
    told = {name: _spell(value) for name, value in state.params.items()}
    return spec.summary.format_map({**dict.fromkeys(spec.params, "?"), **told})


def deadline(state: State) -> str:
    """Until when the state must have ended."""
    allowed = ACTIONS[state.do].deadline if state.within is None else timedelta(seconds=state.within)
    minutes = allowed.total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes % 60 == 0 else f"{minutes:g} min"


def way_out(definition: Definition) -> str:
    """What every end of the ladder passes."""
    settings = "; ".join(f"{name} {_UNDO[policy]}" for name, policy in definition.undo.items())
    if not settings:
        return "Every way out verifies once more what it calls resolved."
    return f"Every way out first puts back what was changed ({settings}), then verifies once more."


def _spell(value: object) -> str:
    if isinstance(value, str) and value.startswith("$"):
        state, _, field = value[1:].rpartition(".")
        return f"the {field} of {state}"
    return str(value)


# --- Mermaid


def mermaid(definition: Definition) -> str:
    """A runbook as a Mermaid state diagram."""
    return "\n".join(_mermaid(definition)) + "\n"


def _mermaid(definition: Definition) -> Iterator[str]:
    yield f"%% {definition.runbook}: {definition.title}. Made by `exmedic runbooks diagram`; do not edit."
    yield "stateDiagram-v2"
    for name in rows(definition):
        text = f"{name}: {summary(definition.states[name])}".replace('"', "'")
        yield f'    state "{text}" as {_id(name)}'
    yield f"    [*] --> {_id(definition.start)}"
    drawn = arrows(definition)
    for name in rows(definition):
        for arrow in drawn:
            if arrow.source == name:
                yield f"    {_id(name)} --> {_id(arrow.target)} : {arrow.label}"
    yield "    resolved --> [*]"
    yield "    escalated --> [*]"
    yield f"    note right of {_id(definition.start)}"
    yield from (f"        {line}" for line in textwrap.wrap(_footnote(definition), 60))
    yield "    end note"


def _id(name: str) -> str:
    # Names of states are lower case, so these cannot clash with another.
    return f"{name}_STATE" if name in _MERMAID_WORDS else name.replace(".", "_DOT_")


def _footnote(definition: Definition) -> str:
    return f"What is not drawn leads to escalated. {way_out(definition)}"


# --- SVG

_BOX = 420  #: width of a state
_LINE = 16  #: height of a line of text
_GAP = 34  #: between two rows, for the arrow and its label
_LANE = 15  #: between two lanes
_PILL = 24  #: height that an end takes beside a state
_MARGIN = 20
_LETTER = 6.4  #: width of a letter of the small text, on the safe side
_WRAP = 60  #: letters of the small text in a box

_STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #6e7781; --box: #f6f8fa; --band: #eaeef2;
  --reads: #0969da; --sets: #9a6700; --disrupts: #bc4c00; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #7d8590;
  --box: #151b23; --band: #1c2430; --reads: #4493f8; --sets: #d29922; --disrupts: #f0883e; --good: #3fb950;
  --bad: #f85149; } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: var(--ink); }
.title { font-size: 16px; font-weight: 600; } .name { font-size: 13px; font-weight: 600; }
.faint, .label { fill: var(--faint); } .label { font-size: 11px; } .end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: var(--paper); } .band { fill: var(--band); } .box { fill: var(--box); stroke-width: 1.5; }
.reads { stroke: var(--reads); } .sets { stroke: var(--sets); } .disrupts { stroke: var(--disrupts); stroke-width: 3; }
.tag { font-size: 11px; text-anchor: end; } .tag.reads { fill: var(--reads); stroke: none; }
.tag.sets { fill: var(--sets); stroke: none; } .tag.disrupts { fill: var(--disrupts); stroke: none; font-weight: 600; }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.3; } .head { fill: var(--line); }
.pill { fill: none; stroke-width: 1.3; } .pill.good { stroke: var(--good); } .pill.bad { stroke: var(--bad); }
text.good { fill: var(--good); } text.bad { fill: var(--bad); }
"""
_MARKER = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
)
_CLASSES = {Effect.READ: "reads", Effect.IDEMPOTENT: "sets", Effect.DISRUPTIVE: "disrupts"}


@dataclass(frozen=True, slots=True)
class _Row:
    """A state with its place. `lines` is its text, `ends` the arrows to ends, `leaps` those that take a lane."""

    name: str
    state: State
    top: int
    height: int
    lines: list[str]
    ends: list[Arrow]
    leaps: list[Arrow]
    falls: Arrow | None  #: to the next row


@dataclass(frozen=True, slots=True)
class _Plan:
    """All places. `lanes`: the lane of each leap, 0 next to the boxes."""

    rows: Mapping[str, _Row]
    lanes: Mapping[Arrow, int]
    left: int  #: where the boxes begin
    right: int  #: where the pills begin
    width: int


def svg(definition: Definition) -> str:
    """A runbook as an SVG document, with its text as text, for light and dark pages."""
    order, head = rows(definition), _head(definition)
    plan = _plan(definition, order, _MARGIN + len(head) * 18 + 30)
    last = plan.rows[order[-1]]
    foot = textwrap.wrap(_footnote(definition), int((plan.width - 2 * _MARGIN) / _LETTER))
    bottom = last.top + last.height + 34
    height = bottom + len(foot) * _LINE + _MARGIN - _LINE
    body = [
        f'<rect class="paper" width="{plan.width}" height="{height}" rx="8"/>',
        *_heading(head),
        *_bands(plan),
        _path(plan.left + _BOX // 2, plan.rows[order[0]].top - 22, plan.rows[order[0]].top),
        *(line for row in plan.rows.values() for line in _draw(row, plan)),
        *(_text(_MARGIN, bottom + number * _LINE, text, "faint") for number, text in enumerate(foot)),
    ]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {plan.width} {height}" width="{plan.width}" '
        f'height="{height}" role="img" aria-labelledby="title desc">'
    )
    described = "; ".join(f"{arrow.source} leads to {arrow.target} when {arrow.label}" for arrow in arrows(definition))
    parts = [
        opening,
        f'<title id="title">{escape(f"Runbook {definition.runbook}: {definition.title}")}</title>',
        f'<desc id="desc">{escape(described)}</desc>',
        f"<style>{_STYLE}</style>",
        _MARKER,
        *body,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _head(definition: Definition) -> list[str]:
    lines = [f"{definition.runbook}: {definition.title}", definition.source]
    for handled in definition.handles:
        what = f"{handled.health_set} / {handled.monitor or 'no monitor named'}"
        probe = f", probe {handled.probe}" if handled.probe else ""
        role = f", on servers with the role {handled.role}" if handled.role else ""
        lines.append(f"handles {what}{probe}{role}")
    return lines


def _plan(definition: Definition, order: tuple[str, ...], top: int) -> _Plan:
    placed: dict[str, _Row] = {}
    for index, name in enumerate(order):
        state = definition.states[name]
        own = [arrow for arrow in arrows(definition) if arrow.source == name]
        ends = sorted((arrow for arrow in own if arrow.target in ENDS), key=lambda arrow: ENDS.index(arrow.target))
        following = order[index + 1] if index + 1 < len(order) else ""
        falls = next((arrow for arrow in own if arrow.target == following), None)
        far = [arrow for arrow in own if arrow.target not in ENDS and arrow is not falls]
        leaps = sorted(far, key=lambda arrow: -order.index(arrow.target))
        lines = textwrap.wrap(summary(state), _WRAP)
        height = max(_LINE * (len(lines) + 1) + 16, _PILL * len(ends) + 6, (26 + 18 * len(leaps)) if leaps else 0)
        placed[name] = _Row(name, state, top, height, lines, ends, leaps, falls)
        top += height + _GAP
    lanes = _lanes([arrow for row in placed.values() for arrow in row.leaps], order)
    room = max((len(arrow.label) for arrow in lanes), default=0) * _LETTER
    left = _MARGIN + (int(room) + 24 + _LANE * (max(lanes.values()) + 1) if lanes else 0)
    words = max((len(arrow.label) for row in placed.values() for arrow in row.ends), default=0)
    right = left + _BOX + int(words * _LETTER) + 30
    heading = max(len(line) for line in _head(definition)) * (_LETTER + 0.6)
    return _Plan(placed, lanes, left, right, max(right + 84 + _MARGIN, int(heading) + 2 * _MARGIN))


def _lanes(leaps: list[Arrow], order: tuple[str, ...]) -> dict[Arrow, int]:
    """Short leaps first, each in the lane next to the boxes that is free over its rows."""
    taken: list[tuple[int, int, int]] = []
    lanes: dict[Arrow, int] = {}
    for arrow in sorted(leaps, key=lambda arrow: order.index(arrow.target) - order.index(arrow.source)):
        begin, end = order.index(arrow.source), order.index(arrow.target)
        busy = {lane for lane, first, last in taken if first <= end and begin <= last}
        lanes[arrow] = next(lane for lane in range(len(leaps) + 1) if lane not in busy)
        taken.append((lanes[arrow], begin, end))
    return lanes


def _heading(head: list[str]) -> Iterator[str]:
    yield _text(_MARGIN, _MARGIN + 14, head[0], "title")
    for number, line in enumerate(head[1:], 1):
        yield _text(_MARGIN, _MARGIN + 16 + number * 18, line, "faint")


def _bands(plan: _Plan) -> Iterator[str]:
    """A ground behind the states of a fragment, which belong together."""
    groups: dict[str, list[_Row]] = {}
    for name, row in plan.rows.items():
        if "." in name:
            groups.setdefault(name.partition(".")[0], []).append(row)
    for members in groups.values():
        top, last = members[0].top - 10, members[-1]
        height = last.top + last.height + 10 - top
        yield f'<rect class="band" x="{plan.left - 10}" y="{top}" width="{_BOX + 20}" height="{height}" rx="10"/>'


def _draw(row: _Row, plan: _Plan) -> Iterator[str]:
    spec = ACTIONS[row.state.do]
    kind, left, right = _CLASSES[spec.effect], plan.left, plan.left + _BOX
    yield (
        f'<rect class="box {kind}" x="{left}" y="{row.top}" width="{_BOX}" height="{row.height}" rx="6"/>'
        + _text(left + 12, row.top + 20, row.name, "name")
        + _text(right - 10, row.top + 20, f"{_TAGS[spec.effect]}, within {deadline(row.state)}", f"tag {kind}")
    )
    for number, line in enumerate(row.lines):
        yield _text(left + 12, row.top + 20 + _LINE * (number + 1), line)
    if row.falls is not None:
        middle, bottom = left + _BOX // 2, row.top + row.height
        yield _path(middle, bottom, bottom + _GAP) + _text(middle + 8, bottom + 20, row.falls.label, "label")
    for number, arrow in enumerate(row.ends):
        yield _end(arrow, plan, row.top + (row.height - _PILL * len(row.ends)) // 2 + _PILL * number + _PILL // 2)
    for number, arrow in enumerate(row.leaps):
        yield _leap(arrow, plan, row.top + 34 + 18 * number)


def _end(arrow: Arrow, plan: _Plan, y: int) -> str:
    start, kind = plan.left + _BOX, "good" if arrow.target == "resolved" else "bad"
    return (
        f'<path class="arrow" marker-end="url(#head)" d="M{start} {y}H{plan.right}"/>'
        + _text((start + plan.right) // 2 - 3, y - 4, arrow.label, "label middle")
        + f'<rect class="pill {kind}" x="{plan.right}" y="{y - 9}" width="80" height="18" rx="9"/>'
        + _text(plan.right + 40, y + 4, arrow.target, f"middle {kind}")
    )


def _leap(arrow: Arrow, plan: _Plan, y: int) -> str:
    x = plan.left - 16 - int(max(len(leap.label) for leap in plan.lanes) * _LETTER) - _LANE * plan.lanes[arrow]
    into = plan.rows[arrow.target].top + 12
    turn = f"M{plan.left} {y}H{x + 6}Q{x} {y} {x} {y + 6}V{into - 6}Q{x} {into} {x + 6} {into}H{plan.left}"
    path = f'<path class="arrow" marker-end="url(#head)" d="{turn}"/>'
    return path + _text(plan.left - 12, y - 4, arrow.label, "label end")


def _path(x: int, top: int, bottom: int) -> str:
    return f'<path class="arrow" marker-end="url(#head)" d="M{x} {top}V{bottom}"/>'


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x}" y="{y}">{escape(text)}</text>'
