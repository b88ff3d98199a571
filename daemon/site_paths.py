"""Paths in files that the administrator writes: anchored to that file, and looked at before anything needs them.

A missing certificate is found at the start and by `exmedic check`, not at night by the call that uses it. The context
of the validation is the directory of the file; without one, as in tests that build settings, nothing is looked at.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


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
