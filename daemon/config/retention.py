"""How long what is on record is kept."""

from typing import Annotated

from pydantic import Field

from daemon.config.fields import Seconds, Section


class Retention(Section):
    """Of rejected messages, which anybody may send in any number, less is kept than of alerts that were understood."""

    days: Annotated[int, Field(strict=True, ge=30, le=3650)] = 365
    rejected: Seconds = 86400.0
    rejected_most: Annotated[int, Field(strict=True, ge=10, le=100_000)] = 10_000
    rejected_bytes: Annotated[int, Field(strict=True, ge=1_000_000, le=10_000_000_000)] = 100_000_000
