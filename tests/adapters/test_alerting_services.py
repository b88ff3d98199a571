"""What an alerting service is asked for when exmedic pages: the requests that apprise's own plugins make for each page.

Only the services' addresses are replaced, by that of a server here.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apprise.plugins import opsgenie, pagerduty

from daemon.adapters.apprise import AppriseNotifier
from daemon.adapters.clock import SystemClock
from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.causes import Cause, CauseKind
from daemon.domain.commits import Channel, Commit, Outgoing, PageKind, Told
from daemon.domain.errors import ConfigError
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.kept import Question
from daemon.domain.ledger import Mismatch
from daemon.domain.pauses import Standing
from daemon.outgoing import messages
from daemon.outgoing.outbox import Outbox
from daemon.testing.memory_bus import MemoryBus
from tests.adapters.test_apprise import Webhook

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
INCIDENT = Incident(
    id="i-1",
    key=Key.of("mbx1.contoso.com", "POP", "PopSelfTestMonitor"),
    health_set="POP",
    monitor="PopSelfTestMonitor",
    status=IncidentStatus.ESCALATED,
    state="escalated",
    opened_at=NOW,
    reason="a reboot did not help",
)
CAUSE = Cause(id="c-1", kind=CauseKind.MONITOR, what="POP", since=NOW, servers=("mbx1", "mbx2", "mbx3"))
QUESTION = messages.Asking(
    incident=INCIDENT,
    question=Question(state="reboot", what="reboot it", since=NOW),
    why="a restart did not help",
)
STANDING = Standing(scope="", why="paused by root", entry="pause.d/1", since=NOW)
NEED_A_HUMAN = {
    "an escalation": messages.escalation_messages("exmedic", messages.Story(incident=INCIDENT), NOW),
    "a shared cause": messages.cause_messages("exmedic", CAUSE, "3 servers within 15 minutes", NOW),
    "a storm": messages.storm_messages("exmedic", "60 of 60 incidents a minute", NOW),
    "the ledger": messages.ledger_messages("exmedic", [Mismatch(name="open", text="", counted=1, found=2)], NOW),
    "an older store": messages.older_store_messages("exmedic", "the journal knows more", NOW),
    "a forgotten session": messages.session_messages("exmedic", "the broker forgot our session", NOW),
    "a pause that stands": messages.pause_messages("exmedic", [STANDING], NOW),
    "a refused password": messages.logon_messages("exmedic", "no logon until 03:15", NOW),
}
OPSGENIE, PAGERDUTY = "opsgenie://api-key", "pagerduty://integration-key@api-key"
ALERTS, EVENTS = "/v2/alerts", "/v2/enqueue"


def test_each_page_that_needs_a_human_is_among_them() -> None:
    assert len(NEED_A_HUMAN) == len([name for name in vars(messages) if name.endswith("_messages")])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Opsgenie and PagerDuty, as far as their addresses are concerned."""
    server = Webhook()
    server.answer, server.said = 202, b'{"requestId": "r-1"}'
    here = f"http://127.0.0.1:{server.server.server_port}"
    monkeypatch.setitem(opsgenie.OPSGENIE_API_LOOKUP, "us", here + ALERTS)
    monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", here + EVENTS)
    # They leave seconds between the requests of one channel, in real time.
    monkeypatch.setattr(opsgenie.NotifyOpsgenie, "request_rate_per_sec", 0)
    monkeypatch.setattr(pagerduty.NotifyPagerDuty, "request_rate_per_sec", 0)
    yield server
    server.close()


async def deliver(page: Outgoing, url: str, directory: Path) -> None:
    """Commit a page and send it after a restart, as the daemon does."""
    store = SqliteStore(directory / "store.db")
    await store.open()
    await store.commit(Commit(at=NOW, told=Told(outgoing=(page,))))
    await store.close()
    store, notifier = SqliteStore(directory / "store.db"), AppriseNotifier([url])
    await store.open()
    stopping = asyncio.Event()
    stopping.set()
    outbox = Outbox(store=store, bus=MemoryBus(), notifier=notifier, clock=SystemClock())
    await outbox.run_notify(lambda: None, stopping)
    assert await store.outbox(Channel.NOTIFY, 10) == [], "no channel accepted it"
    await store.close()
    notifier.close()


def page_of(outgoing: tuple[Outgoing, ...]) -> Outgoing:
    (page,) = (each for each in outgoing if each.channel is Channel.NOTIFY)
    return page


@pytest.mark.parametrize("name", NEED_A_HUMAN)
async def test_what_needs_a_human_raises_an_opsgenie_alert(name: str, service: Webhook, tmp_path: Path) -> None:
    await deliver(page_of(NEED_A_HUMAN[name]), OPSGENIE, tmp_path)
    ((path, alert),) = service.posts
    assert (path, alert["details"]["type"]) == (ALERTS, "failure")
    assert alert["message"] == page_of(NEED_A_HUMAN[name]).topic


@pytest.mark.parametrize("name", NEED_A_HUMAN)
async def test_what_needs_a_human_is_critical_for_pagerduty(name: str, service: Webhook, tmp_path: Path) -> None:
    await deliver(page_of(NEED_A_HUMAN[name]), PAGERDUTY, tmp_path)
    ((path, event),) = service.posts
    assert (path, event["event_action"], event["payload"]["severity"]) == (EVENTS, "trigger", "critical")


async def test_a_page_that_an_older_version_committed_wakes_somebody(service: Webhook, tmp_path: Path) -> None:
    page = page_of(NEED_A_HUMAN["an escalation"])
    without = {name: value for name, value in page.body.items() if name != "kind"}
    await deliver(replace(page, body=without), PAGERDUTY, tmp_path)
    ((_, event),) = service.posts
    assert event["payload"]["severity"] == "critical"


async def test_a_question_is_a_warning(service: Webhook, tmp_path: Path) -> None:
    for url in (OPSGENIE, PAGERDUTY):
        await deliver(messages.question_message(QUESTION, NOW + timedelta(hours=8)), url, tmp_path)
    (alerts, alert), (events, event) = service.posts
    assert (alerts, alert["details"]["type"]) == (ALERTS, "warning")
    assert (events, event["event_action"], event["payload"]["severity"]) == (EVENTS, "trigger", "warning")


async def test_what_is_over_closes_the_opsgenie_alert_of_the_same_title(service: Webhook) -> None:
    notifier = AppriseNotifier([OPSGENIE])
    await notifier.notify("mbx1 needs a human", "POP is dead", PageKind.TROUBLE)
    await notifier.notify("mbx1 needs a human", "it is healthy again", PageKind.OVER)
    assert [path for path, _ in service.posts] == [ALERTS, f"{ALERTS}/r-1/close?identifierType=id"]
    notifier.close()


async def test_what_is_over_is_information_for_pagerduty_and_resolves_where_the_url_maps_it(service: Webhook) -> None:
    for url in (PAGERDUTY, f"{PAGERDUTY}?action=map"):
        notifier = AppriseNotifier([url])
        await notifier.notify("mbx1 needs a human", "it is healthy again", PageKind.OVER)
        notifier.close()
    (_, told), (_, resolved) = service.posts
    assert (told["event_action"], told["payload"]["severity"]) == ("trigger", "info")
    assert resolved["event_action"] == "resolve"


@pytest.mark.parametrize(
    "url",
    [
        "opsgenie://api-key?action=note",
        "opsgenie://api-key?:failure=close",
        "opsgenie://api-key?:warning=note",
        "pagerduty://integration-key@api-key?action=resolve",
        "json://127.0.0.1/, opsgenie://api-key?action=close",
        "splunk://routing-key@api-key?action=info",
        "splunk://routing-key@api-key?:failure=acknowledgement",
    ],
)
def test_a_url_by_which_a_service_would_wake_nobody_is_a_mistake(url: str) -> None:
    """The plugin for Opsgenie sends no request for a note to nothing, and calls that a success."""
    with pytest.raises(ConfigError, match="wakes nobody") as caught:
        AppriseNotifier(["json://127.0.0.1/", url], source=Path("/etc/exmedic/notify"))
    assert [mistake.line for mistake in caught.value.mistakes] == [2]
    assert "api-key" not in str(caught.value)
