"""What an audit row looks like in a journal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.audit.journal_fields import AUDIT_FIELDS, LABELS, MESSAGE_IDS, field_name, journal_fields, misnamed_fields
from daemon.domain.audit import AuditKind
from daemon.testing.memory_sink import MemorySink
from tests.audit.rows import entry, rows


def test_every_kind_has_its_own_128_bit_message_id_and_a_priority() -> None:
    assert set(MESSAGE_IDS) == set(AuditKind)
    assert len(set(MESSAGE_IDS.values())) == len(AuditKind)
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in MESSAGE_IDS.values())
    assert all(label.priority in "234567" for label in LABELS.values())


def test_what_needs_a_human_is_critical_and_what_is_routine_is_not() -> None:
    assert LABELS[AuditKind.ESCALATED].priority == LABELS[AuditKind.QUARANTINED].priority == "2"
    assert LABELS[AuditKind.ALERT_ACCEPTED].priority == LABELS[AuditKind.TRANSITION].priority == "6"


def test_a_row_shows_its_facts_under_upper_case_names() -> None:
    facts = {"from_state": "verify", "to_state": "restart", "action": "verify", "outcome": "unhealthy", "step": "i-1.1"}
    more = {"params": {"service": "MSExchangePOP3BE"}, "copies": 2, "nothing": None}
    (row,) = rows(entry(fields=facts | more))
    assert journal_fields(row) == {
        "MESSAGE": "restart_service: done",
        "MESSAGE_ID": MESSAGE_IDS[AuditKind.OUTCOME],
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "exmedic",
        "INCIDENT_ID": "i-1",
        "SERVER": "mbx1.contoso.com",
        "HEALTH_SET": "POP.Protocol",
        "MONITOR": "PopSelfTestMonitor",
        "AUDIT_SEQ": "1",
        "AUDIT_HASH": row.hash,
        "AUDIT_KIND": "outcome",
        "AUDIT_AT": "2026-11-02T03:04:05.678901+00:00",
        "FROM_STATE": "verify",
        "TO_STATE": "restart",
        "ACTION": "verify",
        "OUTCOME": "unhealthy",
        "STEP_ID": "i-1.1",
        "PARAMS": '{"service":"MSExchangePOP3BE"}',
        "COPIES": "2",
    }


@given(st.text())
def test_no_name_of_a_fact_is_dropped_by_journald_or_hides_a_field_of_ours(name: str) -> None:
    shown = field_name(name)
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", shown)
    assert shown not in AUDIT_FIELDS


@given(st.dictionaries(st.text(), st.text()))
def test_no_fact_can_forge_the_number_or_hash_of_a_row(facts: dict[str, str]) -> None:
    (row,) = rows(entry(fields=facts | {"audit_seq": "999", "AUDIT_HASH": "f" * 64, "message_id": "0"}))
    fields = journal_fields(row)
    assert fields["AUDIT_SEQ"] == "1"
    assert fields["AUDIT_HASH"] == row.hash
    assert fields["MESSAGE_ID"] == MESSAGE_IDS[AuditKind.OUTCOME]


@pytest.mark.parametrize("name", ["has space", "1st", "_private", "server", "x" * 65, "größe"])
async def test_a_fact_that_a_journal_cannot_show_under_its_name_fails_a_test(name: str) -> None:
    (row,) = rows(entry(fields={name: "x"}))
    assert misnamed_fields(row.entry) == [name]
    with pytest.raises(AssertionError):
        await MemorySink().emit(row)
