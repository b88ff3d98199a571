"""Pages about alerts that opened no incident: one a reason or server and day, and one for all beyond so many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.commits import Channel, Outgoing, PageKind
from daemon.domain.notices import Notice, NoticeKind
from daemon.domain.values import timestamp

LISTED = 20  #: notices that one page for many lists; it counts all of them

_TITLES = {
    NoticeKind.REJECTED: "alerts are rejected",
    NoticeKind.UNCLEAR: "alerts name no one server",
    NoticeKind.UNHANDLED: "alerts that no runbook handles",
}
_MEANS = {
    NoticeKind.REJECTED: "They cannot be understood, so nothing was done about them. Until that is mended, nobody is "
    "guarded by them.",
    NoticeKind.UNCLEAR: "It is not clear which server they are about, so nothing was done about them.",
    NoticeKind.UNHANDLED: "Nothing is done about them: look at the server, or write a runbook.",
}
_NEXT = {
    NoticeKind.REJECTED: (
        "exmedic alert rejected           # all of them, with the reasons",
        "exmedic alert show NUMBER        # the whole payload",
        "exmedic alert replay NUMBER      # once it is mended: takes the alert in after all",
    ),
    NoticeKind.UNCLEAR: ("exmedic alert list --status suppressed", "exmedic alert show NUMBER"),
    NoticeKind.UNHANDLED: ("exmedic alert list --status suppressed", "exmedic runbooks list"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePage:
    """What one page tells: a notice, or many of a kind. `sample`: the beginning of a payload, without its secrets."""

    notices: Sequence[Notice]
    sample: str = ""

    @property
    def count(self) -> int:
        """How many alerts it tells of."""
        return sum(notice.count for notice in self.notices)


def notice_messages(prefix: str, page: NoticePage, now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page, to the same places as an escalation; it belongs to no incident."""
    kind, text = page.notices[0].kind, _text(page)
    about = "" if len(page.notices) > 1 else page.notices[0].about
    body = {
        "at": timestamp(now),
        "incident": "",
        "kind": kind.value,
        "reason": about or _TITLES[kind],
        "count": page.count,
        "text": text,
    }
    of = f" of {about}" if kind is NoticeKind.UNHANDLED and about else ""
    return (
        Outgoing(channel=Channel.BUS, topic=f"{prefix}/escalations", body=body),
        Outgoing(
            channel=Channel.NOTIFY,
            topic=f"exmedic: {_TITLES[kind]}{of}",
            body={"kind": PageKind.TROUBLE.value, "text": text, "incident": ""},
        ),
    )


def _text(page: NoticePage) -> str:
    kind = page.notices[0].kind
    since = min(notice.since for notice in page.notices)
    alerts = "1 alert" if page.count == 1 else f"{page.count} alerts"
    lines = [f"{_TITLES[kind].capitalize()}: {alerts} since {since:%Y-%m-%d %H:%M} UTC.", _MEANS[kind]]
    for notice in page.notices[:LISTED]:
        lines += [f"- {notice.about or 'others'}: {notice.count}", *(f"    {item}" for item in notice.items)]
    if len(page.notices) > LISTED:
        lines.append(f"- and {len(page.notices) - LISTED} more such lines")
    if page.sample:
        lines += ["", f"For example, number {page.notices[0].alert}:", f"  {page.sample}"]
    again = "You are told of the same again in a day at the earliest, with how many there were."
    return "\n".join([*lines, "", again, "", "Next:", *(f"  {line}" for line in _NEXT[kind])])
