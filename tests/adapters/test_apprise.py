"""Notifications through apprise to a real HTTP server."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.adapters.apprise import AppriseNotifier
from daemon.domain.commits import PageKind
from daemon.domain.errors import ConfigError, NotifyFailed
from tests.realparts.waiting import HANG

TROUBLE = PageKind.TROUBLE
SECRET = "t0p-s3cret-token"


class Webhook:
    """An HTTP server that keeps what is posted. It answers `answer` with `said`, and not before `hold` is set."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        self.answer, self.said = 200, b""
        self.hold = threading.Event()
        self.hold.set()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.hold.wait(HANG)
                webhook.posts.append((self.path, json.loads(body)))
                self.send_response(webhook.answer)
                self.send_header("Content-Length", str(len(webhook.said)))
                self.end_headers()
                self.wfile.write(webhook.said)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/{SECRET}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.close()


async def test_a_message_arrives_whole(webhook: Webhook) -> None:
    notifier = AppriseNotifier([webhook.url])
    await notifier.notify("mbx1 needs a human", "Why: <b>POP</b> & more\nTried: nothing.", TROUBLE)
    ((path, body),) = webhook.posts
    assert path == f"/{SECRET}"
    assert body["title"] == "mbx1 needs a human"
    assert body["message"] == "Why: <b>POP</b> & more\nTried: nothing."
    notifier.close()


async def test_a_refusal_fails_and_no_secret_is_in_the_error_or_any_log(
    webhook: Webhook,
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook.answer = 500
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.INFO)  # as the daemon has it; DEBUG would print each request
    notifier = AppriseNotifier([webhook.url])
    with capture_logs() as logs, pytest.raises(NotifyFailed) as caught:
        await notifier.notify("title", "body", TROUBLE)
    assert SECRET not in str(caught.value) + str(logs) + caplog.text
    assert "127.0.0.1" not in str(caught.value) + str(logs)
    assert [entry["channel"] for entry in logs] == [1]
    notifier.close()


async def test_one_channel_that_accepts_is_enough(webhook: Webhook) -> None:
    notifier = AppriseNotifier(["json://127.0.0.1:1/nobody-listens", webhook.url])
    with capture_logs() as logs:
        await notifier.notify("title", "body", TROUBLE)
    assert len(webhook.posts) == 1
    assert [(entry["event"], entry["channel"]) for entry in logs] == [("channel_failed", 1)]
    notifier.close()


async def test_a_channel_that_never_answers_fails_at_the_deadline_and_stops_nobody(
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.adapters.apprise._DEADLINE", 0.2)
    webhook.hold.clear()
    notifier = AppriseNotifier([webhook.url])
    with pytest.raises(NotifyFailed):
        await asyncio.wait_for(notifier.notify("title", "body", TROUBLE), HANG)
    notifier.close()


async def test_without_channels_nothing_is_accepted() -> None:
    notifier = AppriseNotifier([])
    with pytest.raises(NotifyFailed):
        await notifier.notify("title", "body", TROUBLE)
    notifier.close()


def test_addresses_that_are_no_apprise_urls_are_all_named_by_line_and_not_by_content(
    caplog: pytest.LogCaptureFixture,
) -> None:
    urls = [f"nosuchscheme://{SECRET}", "json://127.0.0.1/", f"{SECRET}"]
    with pytest.raises(ConfigError) as caught:
        AppriseNotifier(urls, source=Path("/etc/exmedic/notify"))
    assert [mistake.line for mistake in caught.value.mistakes] == [1, 3]
    assert "/etc/exmedic/notify:1" in str(caught.value)
    assert SECRET not in str(caught.value) + caplog.text
