"""What commands ask servers, and how an inventory is replaced."""

import time
from dataclasses import replace

from daemon.adapters.atomic_file import replacing
from daemon.adapters.tcp import reach
from daemon.adapters.winrm.shell import WinrmShell
from daemon.app.offline import clock_of, logons_of, runbooks
from daemon.config.inventory import load_inventory
from daemon.config.settings import Settings, read_secret
from daemon.doctor.examination import Examiner
from daemon.doctor.report import Report, diagnose
from daemon.domain.errors import ConfigError, OperatorError
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Call
from daemon.exchange.client import Unheard, understand
from daemon.exchange.listing import Organisation
from daemon.exchange.logons import Logons


async def doctor(settings: Settings, server: str, logons: Logons) -> Report:
    """Ask a server everything that exmedic would ask, and judge the answers. It only reads.

    Raises:
        ConfigError: inventory or runbooks are wrong.
        OperatorError: the server is not in the inventory, so it is not contacted.
    """
    inventory = load_inventory(settings.inventory, settings)
    found = inventory.find(server)
    if found is None:
        raise OperatorError(
            f"{server} is not in {settings.inventory}, or its short name fits several servers there; not contacted"
        )
    clock = clock_of(settings)
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, logons)
    examiner = Examiner(
        shell=shell,
        clock=clock,
        inventory=inventory,
        definitions=runbooks(settings),
        timeout=settings.winrm.call_timeout,
        probe_timeout=settings.winrm.probe_timeout,
        reach=lambda endpoint: reach(endpoint, settings.winrm.connect_timeout),
        depends=settings.dependencies,
    )
    try:
        return await diagnose(examiner, found, settings.timing)
    finally:
        await shell.close()


async def read_organisation(settings: Settings, inventory: Inventory, through: str) -> Organisation:
    """Ask a server of the inventory what the whole organisation looks like. It only reads.

    Raises:
        OperatorError: there is no answer that can be understood.
    """
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, logons_of(settings))
    timeout = settings.winrm.call_timeout
    call = Call(executor=through, script="organisation", args={}, step_id="import", timeout=timeout, read_only=True)
    try:
        reply = await shell.run(call)
    finally:
        await shell.close()
    heard = understand(reply, through, "organisation", Organisation, time.monotonic())
    if isinstance(heard, Unheard):
        raise OperatorError(
            f"{heard.detail}; the inventory stays as it is. `exmedic doctor` says what is missing on a server of it"
        )
    return heard.answer


def replace_inventory(settings: Settings, before: bytes | None, after: bytes) -> None:
    """Put another inventory in the place of the one that was read as `before` (None: there was no file).

    Raises:
        ConfigError: it would have mistakes; the file is as it was.
        OperatorError: somebody else changed the file meanwhile, or it cannot be written.
    """
    with replacing(settings.inventory, before, after) as part:
        try:
            load_inventory(part, settings)
        except ConfigError as error:
            # Said of the file as it would be, by the name that the administrator knows.
            raise ConfigError(tuple(replace(each, file=settings.inventory) for each in error.mistakes)) from error
