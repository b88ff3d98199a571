"""What the users of this machine are called.

The system's user database may be a directory service that hangs: a name is worth waiting for, a pause is worth more.
"""

import asyncio
import pwd

from daemon.runtime.threads import in_own_thread, within

NAMED_WITHIN = 1.0  #: seconds for the user database to say what somebody is called


def user_name(uid: int) -> str:
    """What a user is called on record, asked for no longer than NAMED_WITHIN; for where no loop runs."""
    return within(NAMED_WITHIN, lambda: _name(uid), _number(uid))


async def name_of(uid: int) -> str:
    """The same, beside a loop that goes on meanwhile."""
    try:
        return await asyncio.wait_for(in_own_thread(lambda: _name(uid)), NAMED_WITHIN)
    except TimeoutError:
        return _number(uid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return _number(uid)


def _number(uid: int) -> str:
    return f"uid {uid}"
