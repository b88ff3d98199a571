"""Whether the latest alerts of a form were all rejected."""

from daemon.domain.alerts import AlertStatus, StoredAlert
from daemon.operators.rejections import Rejections, rejected_lately
from tests.adapters.sqlite.samples import later


def alerts(said: str) -> list[StoredAlert]:
    """Newest first; a letter an alert, from the oldest on: R rejected and S suppressed of SCOM, r and s of another."""
    return [
        StoredAlert(
            id=number,
            topic="alerts/scom/x" if letter.isupper() else "alerts/exmedic/x",
            received_at=later(number),
            alert=None,
            status=AlertStatus.REJECTED if letter in "Rr" else AlertStatus.SUPPRESSED,
            reason=f"reason {number}",
            incident_id=None,
            seen=1,
        )
        for number, letter in reversed(list(enumerate(said)))
    ]


def found(said: str) -> list[Rejections]:
    return rejected_lately(alerts(said), lambda topic: topic.split("/")[1])


def test_after_three_in_a_row_the_form_is_not_ok_with_how_many_since_when_and_why() -> None:
    assert found("SSRRRR") == [
        Rejections(form="scom", topic="alerts/scom/x", reason="reason 5", count=4, since=later(2))
    ]


def test_a_few_among_others_are_no_broken_route() -> None:
    assert found("SSSRR") == found("SRRSRR") == found("RRRRS") == found("") == []


def test_a_site_that_got_its_route_wrong_hears_it_from_the_first_alert_on() -> None:
    assert [each.count for each in found("R")] == [1]
    assert [each.count for each in found("RR")] == [2]


def test_another_route_that_works_hides_nothing() -> None:
    assert [each.form for each in found("ssRsRsRsss")] == ["scom"]
