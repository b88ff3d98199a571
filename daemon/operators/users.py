"""What the users of this machine are called."""

import pwd


def user_name(uid: int) -> str:
    """What a user is called on record."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
