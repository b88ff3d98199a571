"""Who may give which command: roles, by Unix group.

Who opened the control socket is what the kernel says; which groups that user is in, the system's user database says.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.config.roles import OperatorRole, Roles


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened the control socket."""

    user: str
    uid: int


def refusal(roles: Roles | None, peer: Peer, command: str, least: OperatorRole) -> str:
    """Why somebody may not give a command; empty if they may. It asks the user database, which may take a while.

    Root and the daemon's own user may do everything: they could change the configuration. Without [roles] everybody may
    who can open the socket.
    """
    if roles is None or peer.uid in (0, os.geteuid()):
        return ""
    groups = roles.groups(least)
    if _ids(groups) & _memberships(peer):
        return ""
    join = f"ask a member of {' or '.join(groups)}, or join that group" if groups else "no group has it: ask root"
    return f"{command} needs the role {least.title}, which {peer.user} does not have: {join}"


def doubts(roles: Roles | None) -> Iterator[str]:
    """What an administrator should know about the roles of a configuration."""
    if roles is None:
        yield "no [roles] are configured: whoever may open the control socket may give every command"
        return
    for group in roles.groups(OperatorRole.VIEWER):
        if not _ids((group,)):
            yield f"this machine knows no group {group}, so [roles] gives nobody a role by it"


def _memberships(peer: Peer) -> set[int]:
    try:
        # The database and not the groups of the process: who was taken out of a group loses the role at once.
        user = pwd.getpwuid(peer.uid)
        return set(os.getgrouplist(user.pw_name, user.pw_gid))
    except KeyError:  # a user id that has no user is in no group
        return set()


def _ids(groups: tuple[str, ...]) -> set[int]:
    found = set()
    for name in groups:
        try:
            found.add(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue  # `doubts` says so
    return found
