"""The real parts themselves: what a test relies on when it kills one."""

from tests.realparts.journald import Journald
from tests.realparts.mosquitto import Mosquitto


async def test_a_killed_broker_comes_back_with_what_it_had_saved(mosquitto: Mosquitto) -> None:
    async with mosquitto.listen("a/#") as inbox:
        await mosquitto.publish("a/b", b"x")
        assert await inbox.get() == ("a/b", b"x")
    await mosquitto.publish("a/kept", "state", retain=True)
    mosquitto.save()
    mosquitto.kill()
    mosquitto.restart()
    assert await mosquitto.retained("a/kept") == b"state"


def test_a_killed_journal_comes_back_with_what_it_had_written(journald: Journald) -> None:
    started = "MESSAGE_ID=f77379a8490b408bbe5f6940505a777b"  # systemd's catalogue: the journal has been started
    assert len(journald.entries(started)) == 1
    journald.kill()
    journald.restart()
    assert len(journald.entries(started)) == 2
