"""What the sections of exmedic.toml have in common, and paths in files that the administrator writes."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

#: A longer wait is a mistake: nothing may wait as good as for ever.
MAX_WAIT: Final = 30 * 24 * 3600


# Strict: TOML has types of its own, so "60" or true where a number is meant is a mistake. Infinity is a TOML number.
Seconds = Annotated[float, Field(strict=True, gt=0, le=MAX_WAIT, allow_inf_nan=False)]


Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A table of exmedic.toml: frozen, and a name nobody knows is a mistake."""

    # Defaults are validated too, so that a relative one is anchored like a written one.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _anchored(path: Path, info: ValidationInfo) -> Path:
    """Relative to the directory of the file, which is the context when settings come from one."""
    return info.context / path if isinstance(info.context, Path) else path


def _file(path: Path, info: ValidationInfo) -> Path:
    if isinstance(info.context, Path):
        _status(path, stat.S_ISREG, "a file")
    return path


def _directory(path: Path, info: ValidationInfo) -> Path:
    if isinstance(info.context, Path):
        _status(path, stat.S_ISDIR, "a directory")
    return path


def _private_file(path: Path, info: ValidationInfo) -> Path:
    if isinstance(info.context, Path):
        mode = stat.S_IMODE(_status(path, stat.S_ISREG, "a file").st_mode)
        if mode & 0o077:
            raise ValueError(f"names {path}, which others may use (mode {mode:04o}); run: chmod 600 {path}")
    return path


def _status(path: Path, fits: Callable[[int], bool], kind: str) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"names {path}, which cannot be used: {error.strerror}") from None
    if not fits(status.st_mode):
        raise ValueError(f"names {path}, which is not {kind}")
    return status


#: A path, absolute once it has been read from a file; the others are such paths to what must be there.
SitePath = Annotated[Path, AfterValidator(_anchored)]


SiteFile = Annotated[SitePath, AfterValidator(_file)]


SiteDirectory = Annotated[SitePath, AfterValidator(_directory)]


PrivateFile = Annotated[SitePath, AfterValidator(_private_file)]
