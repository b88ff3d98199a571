"""The kill switch without a daemon: what `exmedic pause` and `exmedic resume` do to its files themselves."""

from pathlib import Path

from daemon.adapters.pause_file import PauseFile
from daemon.config.inventory import load_site
from daemon.config.settings import whereabouts
from daemon.domain.errors import OperatorError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import scope_of
from daemon.domain.ports import KillSwitch


def pause_on_disk(config: Path, why: str, server: str, dag: str) -> Path:
    """Pause on the disk, in the name of who calls; returns the file.

    Raises:
        ConfigError: what a name means cannot be told.
        OperatorError: the inventory does not have it, or the file cannot be written.
    """
    # Everything is paused without reading what may have mistakes.
    inventory = load_site(config)[1] if server or dag else Inventory(())
    scope = _scope(inventory, server, dag)
    switch = PauseFile(whereabouts(config).pause_file, inventory)
    try:
        switch.pause(why, scope)
    except OSError as error:
        raise OperatorError(f"the pause file {error.filename} cannot be written: {error.strerror}; use sudo") from error
    return switch.file(scope)


def resume_on_disk(config: Path, server: str, dag: str) -> KillSwitch:
    """End what was paused on the disk; returns the switch, to see what is paused still.

    Raises:
        ConfigError: what a name means cannot be told.
        OperatorError: the inventory does not have it, it was not paused, or the file cannot be removed.
    """
    settings, inventory = load_site(config)
    scope = _scope(inventory, server, dag)
    switch = PauseFile(settings.safety.pause_file, inventory)
    try:
        resumed = switch.resume(scope)
    except OSError as error:
        raise OperatorError(f"the pause file {error.filename} cannot be removed: {error.strerror}") from error
    if not resumed:
        raise OperatorError(f"not paused: there is no {switch.file(scope)}")
    return switch


def _scope(inventory: Inventory, server: str, dag: str) -> str:
    scope = scope_of(inventory, server, dag)
    if scope is None:
        raise OperatorError(f"the inventory does not have {server or dag}, or both a server and a DAG are named")
    return scope
