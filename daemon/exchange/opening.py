"""Opening the Microsoft.Exchange session, the way of an executor to Exchange: what its failing means."""

OPENING = "Opening the Microsoft.Exchange session"  #: how the prelude's message begins when that fails


def unopened(error: str, detail: str) -> bool:
    """Whether a script's no is about the executor's way to Exchange: another executor may do what it could not."""
    return error in ("no_session", "second_hop") or (error == "denied" and detail.startswith(OPENING))
