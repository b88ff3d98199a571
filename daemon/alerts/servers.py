"""Which server of the inventory an alert is about, of all the machines that it names.

A source that watches for others names itself too, and the one it watches. Only what is in the inventory counts, so its
own name disturbs nobody; what names two servers of ours is for a human.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.domain.alerts import Alert
from daemon.domain.inventory import Inventory, Server


@dataclass(frozen=True, slots=True)
class About:
    """The server that an alert is about; None: none of ours, or a human must say which of the candidates."""

    server: Server | None
    candidates: tuple[Server, ...] = ()
    reason: str = ""  #: why it is not clear; empty when no server of ours is named at all


NOBODY = About(None)


def about_server(alert: Alert, inventory: Inventory) -> About:
    """The one server of ours that an alert names, wherever the name stands."""
    names = alert.names or (() if alert.hints else (alert.server,))
    in_full = _each(server for name in names if (server := inventory.in_full(name)))
    unclear: list[Server] = []
    foreign = ""
    for name in names:
        meant = inventory.short(name)
        if not meant or any(server in in_full for server in meant):
            continue
        if len(meant) == 1 and (other := _elsewhere(meant[0], names)):
            foreign = foreign or other
            unclear += meant
        elif len(meant) == 1:
            in_full += [server for server in meant if server not in in_full]
        else:
            unclear += meant
    candidates = tuple(_each((*in_full, *unclear)))
    if len(in_full) == 1 and not unclear:
        return About(in_full[0], candidates)
    if candidates:
        return About(None, candidates, _unclear(candidates, in_full, foreign))
    return _hinted(alert, inventory)


def _hinted(alert: Alert, inventory: Inventory) -> About:
    found = _each(server for name in alert.hints for server in inventory.named(name))
    if not found:
        return NOBODY
    told = ", ".join(server.name for server in found)
    return About(None, tuple(found), f"only the full name of its object names a server: {told}; decide by hand")


def _elsewhere(server: Server, names: Iterable[str]) -> str:
    """A full name that begins like the server's and is not its own: the short name beside it is that machine's."""
    return next((n for n in names if "." in n and n.lower().partition(".")[0] == server.short_name), "")


def _unclear(candidates: tuple[Server, ...], in_full: list[Server], foreign: str) -> str:
    told = ", ".join(server.name for server in candidates)
    if foreign:
        return f"it names {foreign}, which is not in the inventory, by a short name of ours: {told}; decide by hand"
    if not in_full:
        return f"its short name fits several servers: {told}; let the source send the full name"
    return f"it names more than one server: {told}; a human must say which is meant"


def _each(servers: Iterable[Server]) -> list[Server]:
    return list({server.name: server for server in servers}.values())
