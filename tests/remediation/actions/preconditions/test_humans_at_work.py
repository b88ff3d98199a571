"""The gates about others who are at work on a server."""

from datetime import timedelta

import pytest

from daemon.config.guardrails import Timing
from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse
from daemon.remediation.actions.preconditions.facts import Facts
from daemon.remediation.actions.preconditions.humans_at_work import no_reboot_pending, nobody_logged_on
from tests.remediation.actions.preconditions.known import logons, mailbox, pending, state


def with_logons(*accounts: str) -> Facts:
    return mailbox(state=state(logons=logons(*accounts)))


def test_who_is_logged_on_and_since_when_is_told_and_asked_again_as_the_settings_say() -> None:
    known = state(logons=logons("CONTOSO\\ann", "MBX1\\bob"))
    timing = Timing(hold_recheck=60.0, hold_deadline=600.0)
    verdict = nobody_logged_on(mailbox(state=known, timing=timing))
    assert isinstance(verdict, Hold)
    assert verdict.reason == (
        "logged on to mbx1.contoso.com: CONTOSO\\ann (console) since 2026-01-15 02:00 UTC, "
        "MBX1\\bob (console) since 2026-01-15 02:00 UTC; nothing is done under an administrator's hands"
    )
    assert (verdict.after, verdict.deadline) == (timedelta(minutes=1), timedelta(minutes=10))
    assert verdict.verify_afresh
    assert verdict.lets_go


def test_a_logon_of_unknown_age_holds_as_well() -> None:
    verdict = nobody_logged_on(mailbox(state=state(logons=logons("CONTOSO\\ann", since=None))))
    assert isinstance(verdict, Hold)
    assert verdict.reason.startswith("logged on to mbx1.contoso.com: CONTOSO\\ann (console); ")


def test_a_list_of_people_that_was_cut_does_not_say_that_nobody_is_there() -> None:
    cut = mailbox(state=state(logons={"count": 1, "people": []}))
    assert isinstance(nobody_logged_on(cut), CannotTell)
    assert isinstance(nobody_logged_on(with_logons()), Allow)


@pytest.mark.parametrize(
    ("waits", "named"),
    [
        ({"servicing": True}, "Component Based Servicing"),
        ({"windows_update": True}, "Windows Update"),
        ({"servicing": True, "windows_update": True}, "Component Based Servicing and Windows Update"),
    ],
)
def test_updates_that_wait_for_a_reboot_are_named(waits: dict[str, bool], named: str) -> None:
    verdict = no_reboot_pending(mailbox(state=state(reboot_pending=pending(**waits))))
    assert isinstance(verdict, Refuse)
    assert verdict.reason.startswith(f"a reboot of mbx1.contoso.com is pending for {named}: ")


def test_files_to_be_renamed_at_the_next_start_are_noted_and_do_not_decide() -> None:
    verdict = no_reboot_pending(mailbox(state=state(reboot_pending=pending(file_renames=True))))
    assert isinstance(verdict, Allow)
    assert verdict.figures["file_renames"] is True
