"""The kill switch without a daemon: what `exmedic pause` and `exmedic resume` do to its files themselves."""

from pathlib import Path

from daemon.adapters.pause_file import PauseFile
from daemon.adapters.sqlite.file import is_locked
from daemon.config.whereabouts import DATABASE, whereabouts
from daemon.domain.errors import OperatorError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import Terms, scope_of
from daemon.domain.ports import KillSwitch


def pause_on_disk(config: Path, why: str, server: str, dag: str, terms: Terms) -> Path:
    """Pause on the disk, in the name of who calls; returns the file.

    Raises:
        ConfigError: what a name means cannot be told.
        OperatorError: the inventory does not have it, or the file cannot be written.
    """
    # Everything is paused without reading what may have mistakes.
    inventory = _inventory(config) if server or dag else Inventory(())
    scope = _scope(inventory, server, dag)
    try:
        return PauseFile(whereabouts(config).pause_file, inventory).order(why, scope, terms)
    except OSError as error:
        raise OperatorError(
            f"the pause file {error.filename} cannot be written: {error.strerror}; join the daemon's group, or use sudo"
        ) from error


def resume_on_disk(config: Path, server: str, dag: str) -> KillSwitch:
    """End what was paused on the disk; returns the switch, to see what is paused still.

    Raises:
        ConfigError: what a name means cannot be told.
        OperatorError: the inventory does not have it, it was not paused, or the file cannot be removed.
    """
    inventory = _inventory(config)
    scope = _scope(inventory, server, dag)
    switch = PauseFile(whereabouts(config).pause_file, inventory)
    try:
        resumed = switch.resume(scope)
    except OSError as error:
        raise OperatorError(
            f"the pause file {error.filename or switch.path} cannot be removed: {error.strerror}"
        ) from error
    if not resumed:
        raise OperatorError(f"{scope or 'everything'} is not paused by itself: {switch.directory} has nothing of it")
    return switch


def may_run(data: Path) -> bool:
    """Whether a daemon may be running on the store in this directory: one has it open, or that cannot be told."""
    return is_locked((data / DATABASE).resolve())


def _inventory(config: Path) -> Inventory:
    from daemon.config.inventory import load_site  # noqa: PLC0415 - a pause of everything does not wait for it

    return load_site(config)[1]


def _scope(inventory: Inventory, server: str, dag: str) -> str:
    scope = scope_of(inventory, server, dag)
    if scope is None:
        raise OperatorError(f"the inventory does not have {server or dag}, or both a server and a DAG are named")
    return scope
