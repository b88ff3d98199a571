"""`exmedic status`: what a human sees of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from daemon.adapters.sqlite.store import SqliteStore
from daemon.config.whereabouts import DATABASE
from daemon.domain.alerts import AlertStatus
from daemon.domain.commits import Routing
from tests.adapters.sqlite import samples
from tests.audit.test_ledger_watch import by_hand
from tests.cli.conftest import Exmedic
from tests.cli.test_operators import answering

GOOD: dict[str, Any] = {
    "accepted": 12,
    "stored": 10,
    "duplicates": 2,
    "alerts": {"pending": 1, "joined": 6, "suppressed": 2, "rejected": 1},
    "opened": 4,
    "incidents": {"open": 1, "resolved": 2, "escalated": 1, "cancelled": 0},
    "mismatches": {},
    "told": [],
}
ANSWER = {
    "version": "0.1.0",
    "up_since": "2026-11-02T01:00:00.000000+00:00",
    "bus": "connected",
    "paused": None,
    "quarantined": ["mbx2.contoso.com"],
    "windows": ["maintenance patching until 2026-11-02 13:00 UTC (mbx1.contoso.com)"],
    "next_change": "2026-11-02T12:30:00.000000+00:00",
    "deferred": 2,
    "waiting": {"bus": 3, "notify": 1},
    "notifications": True,
    "ledger": GOOD,
}


def shown(exmedic: Exmedic, config: Path, answer: dict[str, Any]) -> tuple[int, str]:
    with answering(config.parent / "control.sock", json.dumps(answer).encode() + b"\n"):
        result = exmedic("status", "--config", str(config))
    assert not result.errors
    return result.code, result.out


def test_a_password_that_rests_is_a_line_and_without_one_there_is_none(exmedic: Exmedic, config: Path) -> None:
    why = "no logon with [credentials.exchange] (CONTOSO\\\\exmedic) until 2026-11-02 12:15 UTC: refused"
    assert why in shown(exmedic, config, {**ANSWER, "resting": [why]})[1].splitlines()
    assert "no logon" not in shown(exmedic, config, ANSWER)[1]


def test_each_sum_is_a_line_with_its_verdict(exmedic: Exmedic, config: Path) -> None:
    code, text = shown(exmedic, config, ANSWER)
    assert code == 0
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "exmedic 0.1.0, up since 2026-11-02 01:00 UTC",
        "bus: connected",
        "paused: no",
        "quarantined: mbx2.contoso.com",
        "windows: maintenance patching until 2026-11-02 13:00 UTC (mbx1.contoso.com); next change 2026-11-02 12:30 UTC",
        "monitors set aside, to be verified later: 2",
        "waiting to be sent: 3 on the bus, 1 notifications",
        "ledger:",
        "accepted 12 = stored 10 + repeated 2 OK",
        "stored 10 = pending 1 + joined 6 + suppressed 2 + rejected 1 OK",
        "opened 4 = open 1 + resolved 2 + escalated 1 + cancelled 0 OK",
    ]


def test_what_does_not_add_up_is_marked_and_said_and_the_exit_code_is_1(exmedic: Exmedic, config: Path) -> None:
    wrong = {"accepted": "12 messages were accepted [/], but ...", "incidents open": "2 incidents should be open"}
    code, text = shown(exmedic, config, {**ANSWER, "ledger": {**GOOD, "mismatches": wrong, "told": ["acknowledged"]}})
    assert code == 1
    verdicts = [line.split()[-1] for line in text.splitlines() if line.split()[0] in {"accepted", "stored", "opened"}]
    assert verdicts == ["MISMATCH", "OK", "MISMATCH"]
    assert text.splitlines()[-3:] == [
        *(f"mismatch {each}" for each in wrong.values()),
        "mismatch acknowledged: see its escalation",
    ]


def test_that_nobody_is_notified_is_said(exmedic: Exmedic, config: Path) -> None:
    _, text = shown(exmedic, config, {**ANSWER, "notifications": False})
    assert "no notification channel is configured: escalations reach only the bus and the journal" in text


def test_without_a_daemon_it_says_so_and_reads_the_ledger_from_the_store(exmedic: Exmedic, config: Path) -> None:
    path = config.parent / "data" / DATABASE
    result = exmedic("status", "--config", str(config))
    assert (result.code, result.out) == (1, "")
    assert "no daemon listens at" in result.said

    async def fill() -> None:
        store = SqliteStore(path)
        await store.open()
        await store.ingest([samples.received("k1"), samples.received("k1"), samples.received("k2")])
        await store.commit(samples.work(routing=Routing(alert_ids=(1,), status=AlertStatus.SUPPRESSED, reason="x")))
        await store.close()

    asyncio.run(fill())
    result = exmedic("status", "--config", str(config))
    assert result.code == 1
    assert "accepted 3 = stored 2 + repeated 1" in result.said
    assert "no daemon listens at" in result.errors
    by_hand(path, "DELETE FROM alerts WHERE id = 2")
    result = exmedic("status", "--config", str(config))
    assert "mismatch 3 alerts were accepted from the broker, but 1 are stored" in result.said


def test_servers_and_dags_that_are_paused_by_themselves_are_named(exmedic: Exmedic, config: Path) -> None:
    _, text = shown(exmedic, config, {**ANSWER, "paused_scopes": {"mbx1.contoso.com": "by ada: a look [4711]"}})
    assert "paused: only mbx1.contoso.com by ada: a look [4711]" in text.splitlines()


def test_a_bus_that_is_down_is_told_with_its_reason_since_when_and_what_to_change(
    exmedic: Exmedic, config: Path
) -> None:
    outage = {
        "since": "2026-11-02T12:15:00.000000+00:00",
        "reason": "the broker at b:1: Not authorized",
        "todo": "let it",
    }
    code, text = shown(exmedic, config, {**ANSWER, "bus": "not connected", "outage": outage})
    assert code == 3
    assert "bus: not connected since 2026-11-02 12:15 UTC: the broker at b:1: Not authorized; let it" in text
    code, text = shown(exmedic, config, {**ANSWER, "outage": {**outage, "todo": ""}})
    assert "; it is tried again until it answers" in text
    wrong = {**GOOD, "mismatches": {"accepted": "12 and 11"}}
    assert shown(exmedic, config, {**ANSWER, "outage": outage, "ledger": wrong})[0] == 1


def test_two_daemons_and_a_forgetful_broker_are_told(exmedic: Exmedic, config: Path) -> None:
    code, text = shown(exmedic, config, {**ANSWER, "takeovers": 3, "sessions_forgotten": 2})
    assert code == 0
    assert "another client came with our client id 3 times since the start" in text
    assert "the broker forgot our session 2 times" in text


def test_while_the_latest_alerts_were_all_rejected_it_is_not_ok_and_the_exit_code_is_3(
    exmedic: Exmedic, config: Path
) -> None:
    why = {"form": "scom", "topic": "alerts/scom/x", "reason": "Id is missing", "count": 4}
    rejected = [{**why, "since": "2026-11-02T03:04:00.000000+00:00"}]
    code, text = shown(exmedic, config, {**ANSWER, "rejected": rejected, "untold": 2})
    assert code == 3
    assert "alerts: NOT OK the latest 4 of scom, since 2026-11-02 03:04 UTC, were all rejected: Id is missing" in text
    assert "exmedic alert rejected" in text
    assert "to be told: 2" in text
    wrong = {**ANSWER, "rejected": rejected, "ledger": {**GOOD, "told": ["acknowledged"]}}
    assert shown(exmedic, config, wrong)[0] == 1
