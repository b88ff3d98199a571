"""What waits for humans, read from the store and the pause files, whether a daemon runs or not."""

from functools import partial

from daemon.adapters.pause_file import PauseFile
from daemon.alerts.payloads import source_of
from daemon.app.offline import clock_of, reading
from daemon.config.settings import Settings, windows_of
from daemon.domain.incidents import IncidentStatus
from daemon.domain.inventory import Inventory
from daemon.domain.windows import holding
from daemon.operators.rejections import LOOKED_AT, rejected_lately
from daemon.operators.todo import Waiting

MOST = 10_000  #: incidents of a status, newest first


async def waiting(settings: Settings, inventory: Inventory) -> Waiting:
    """All that may wait for somebody.

    Raises:
        StoreError: the store cannot be read.
    """
    now = clock_of(settings).now()
    async with reading(settings) as store:
        escalated = await store.incidents(IncidentStatus.ESCALATED, MOST)
        ended = [*escalated, *await store.incidents(IncidentStatus.CANCELLED, MOST)]
        newest = await store.alerts(limit=LOOKED_AT)
        return Waiting(
            incidents=[*await store.incidents(IncidentStatus.OPEN, MOST), *ended],
            left={each.id: await store.undo_items(each.id) for each in ended},
            quarantines=await store.quarantines(),
            causes=await store.causes(),
            windows=holding((*windows_of(settings), *await store.windows(now)), now),
            pauses=PauseFile(settings.safety.pause_file, inventory).orders(),
            rejections=rejected_lately(newest, partial(source_of, settings=settings.bus)),
        )
