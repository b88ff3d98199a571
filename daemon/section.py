"""What the sections of exmedic.toml have in common."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

#: A longer wait is a mistake: nothing may wait as good as for ever.
MAX_WAIT: Final = 30 * 24 * 3600

# Strict: TOML has types of its own, so "60" or true where a number is meant is a mistake. Infinity is a TOML number.
Seconds = Annotated[float, Field(strict=True, gt=0, le=MAX_WAIT, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A table of exmedic.toml: frozen, and a name nobody knows is a mistake."""

    # Defaults are validated too, so that a relative one is anchored like a written one.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
