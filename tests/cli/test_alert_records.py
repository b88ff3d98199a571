"""`exmedic alert list`, `show`, `rejected` and `replay`."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.config.whereabouts import DATABASE
from daemon.domain.alerts import AlertStatus
from daemon.domain.commits import Routing
from tests.adapters.sqlite import samples
from tests.cli.conftest import Exmedic
from tests.realparts.mosquitto import Mosquitto

NATIVE = {
    "id": "zabbix-1",
    "server": "mbx1.contoso.lab",
    "health_set": "POP.Protocol",
    "monitor": "PopDeepTestMonitor",
    "raised_at": "2026-11-05T03:14:15+00:00",
    "summary": "password: hunter2",
}
GOOD = json.dumps(NATIVE).encode()


def stored(config: Path, *payloads: bytes, size: int | None = None) -> None:
    """A store with an alert that is suppressed, and a rejected one for each payload, from number 2 on."""

    async def fill() -> None:
        store = SqliteStore(config.parent / "data" / DATABASE)
        await store.open()
        rejected = [
            samples.unreadable(f"k{number}", payload=each, size=size or len(each), topic="alerts/exmedic/x")
            for number, each in enumerate(payloads)
        ]
        await store.ingest([samples.received("understood"), *rejected])
        routing = Routing(alert_ids=(1,), status=AlertStatus.SUPPRESSED, reason="not ours")
        await store.commit(samples.work(routing=routing))
        await store.close()

    asyncio.run(fill())


def at_broker(config: Path, port: int) -> None:
    config.write_text(re.sub("(?m)^port = 1$", f"port = {port}", config.read_text()))


def test_a_list_says_what_became_of_each_newest_first(exmedic: Exmedic, config: Path) -> None:
    stored(config, b"{")
    text = exmedic("alert", "list", "--config", str(config)).out
    assert text.index("2 2026-11-02 03:04:05 rejected  on alerts/exmedic/x") < text.index("1 2026-11-02")
    assert "not ours" in text
    only = exmedic("alert", "list", "--status", "suppressed", "--config", str(config)).out
    assert "PopDeepTestMonitor on MBX1" in only
    assert "rejected" not in only


def test_what_was_rejected_is_listed_with_its_reason_and_beginning_without_its_secrets(
    exmedic: Exmedic, config: Path
) -> None:
    stored(config, GOOD)
    said = exmedic("alert", "rejected", "--config", str(config)).said
    assert "not JSON: line 1" in said
    assert '{"id": "zabbix-1"' in said
    assert "hunter2" not in said


def test_one_is_shown_with_its_fields_and_its_whole_payload(exmedic: Exmedic, config: Path) -> None:
    stored(config, b'{"a": "' + b"x" * 5000 + b'"}')
    said = exmedic("alert", "show", "1", "--config", str(config)).said
    assert "PopDeepTestMonitor" in said
    assert "suppressed" in said
    assert "x" * 5000 in exmedic("alert", "show", "2", "--config", str(config)).said
    missing = exmedic("alert", "show", "77", "--config", str(config))
    assert (missing.code, "there is no alert 77" in missing.said) == (1, True)


async def test_what_can_be_understood_by_now_is_published_again_as_it_came(
    exmedic: Exmedic, config: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    broker = start_mosquitto()
    await asyncio.to_thread(at_broker, config, broker.port)
    await asyncio.to_thread(stored, config, GOOD)
    async with broker.listen("alerts/#") as inbox:
        result = await asyncio.to_thread(exmedic, "alert", "replay", "2", "--config", str(config))
        assert result.code == 0, result.said
        assert await inbox.get() == ("alerts/exmedic/x", GOOD)


@pytest.mark.parametrize(
    ("number", "message", "why"),
    [
        ("1", (GOOD, 1.0), "was not rejected: it is suppressed"),
        ("2", (b"{", 1.0), "would be rejected again: "),
        ("2", (GOOD, 0.5), "only the beginning is kept"),
        ("3", (GOOD, 1.0), "there is no alert 3"),
    ],
)
def test_what_cannot_be_taken_in_is_told_and_published_nowhere(
    exmedic: Exmedic, config: Path, number: str, message: tuple[bytes, float], why: str
) -> None:
    payload, kept = message
    stored(config, payload, size=int(len(payload) / kept))
    result = exmedic("alert", "replay", number, "--config", str(config))  # no broker listens there
    assert result.code == 1
    assert why in result.said


def test_where_nothing_came_in_that_is_said(exmedic: Exmedic, config: Path) -> None:
    stored(config)
    assert exmedic("alert", "rejected", "--config", str(config)).said == "no alert was rejected"
