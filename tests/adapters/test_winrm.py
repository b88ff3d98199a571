"""The WinRM adapter against endpoints that break off, hang, trickle and lie, over real sockets and real TLS."""

import asyncio
import base64
import json
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.adapters.clock import SystemClock
from daemon.adapters.winrm.attempt import Attempt
from daemon.adapters.winrm.conversation import STDIN_CHUNK
from daemon.adapters.winrm.shell import WinrmShell
from daemon.config.settings import Credential, Secret, WinrmSettings
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.exchange.launch import SALT
from daemon.exchange.logons import Logons
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault as LabFault
from daemon.lab.lab import Lab
from tests.adapters.wsman_endpoint import Behaviour, Cut, Endpoint, Fault, Hang, Output, Say, Trickle, make_certificate
from tests.realparts.waiting import HANG

SERVER = "mbx1.contoso.lab"
PASSWORD = "s3cret-Passw0rd"
SECRET = Secret(file=Path("password"))
TIMED_OUT = Fault(2150858793)
Make = Callable[..., WinrmShell]


def answered(stdin: bytes, _: str) -> Output:
    """What a well-meaning script writes."""
    call_, *password = (base64.b64decode(line) for line in stdin.splitlines())
    sent = json.loads(call_)
    envelope = {
        "exmedic": 1,
        "script": sent["name"],
        "step": sent["step"],
        "host": "MBX1",
        "clock": "2026-11-02T12:00:00.000000Z",
        "ok": True,
        "result": {"args": sent["args"], "logon": [sent.get("username"), *[line[SALT:].decode() for line in password]]},
    }
    return Output(json.dumps(envelope).encode() + b"\r\n", stderr=b"#< CLIXML\r\n<Objs></Objs>")


def call(*, timeout: float = HANG, read_only: bool = False, executor: str = SERVER, **args: object) -> Call:
    script = "server_state" if read_only else "restart_service"
    return Call(executor=executor, script=script, args=args, step_id="i1.1", timeout=timeout, read_only=read_only)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def endpoint(certificate: tuple[Path, Path]) -> Iterator[Endpoint]:
    endpoint = Endpoint(certificate[1], answered)
    yield endpoint
    endpoint.stop()


@pytest.fixture
async def make(certificate: tuple[Path, Path]) -> AsyncIterator[Make]:
    """Makes shells with one server in their inventory, and closes them."""
    made: list[WinrmShell] = []

    def make(
        url: str,
        credential: Credential | None = None,
        settings: WinrmSettings | None = None,
        read_secret: Callable[[Secret], str] = lambda _: PASSWORD,
    ) -> WinrmShell:
        server = Server(
            name=SERVER,
            roles=frozenset({Role.MAILBOX}),
            dag=None,
            site="Lyon",
            endpoint=url,
            credential="lab",
            tags=frozenset(),
        )
        chosen = credential or Credential(transport="basic", username="u", password=SECRET, ca=certificate[0])
        patient = (settings or WinrmSettings()).model_copy(update={"connect_timeout": HANG})
        logons = Logons(SystemClock().now)
        shell = WinrmShell(Inventory((server,)), patient, {"lab": chosen}, read_secret, logons)
        made.append(shell)
        return shell

    yield make
    for shell in made:
        await shell.close()


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_a_password_that_a_server_tells_leaves_the_adapter_in_no_reply(
    endpoint: Endpoint, make: Make, exit_code: int
) -> None:
    told = "it failed\r\nPassword :\r\n hunter2\r\nServer: mbx1"

    def leaking(stdin: bytes, command_line: str) -> Output:
        envelope = json.loads(answered(stdin, command_line).stdout)
        envelope["result"] = {"objects": [{"error": told, "state_attribute2": told, "execution_context": told}]}
        return Output(json.dumps(envelope).encode(), exit_code, told.encode())

    endpoint.answer = leaking
    reply = await make(endpoint.url).run(call())
    assert "hunter2" not in repr(reply)
    assert "it failed Password" in repr(reply)


async def test_a_call_travels_over_tls_and_leaves_no_shell(endpoint: Endpoint, make: Make) -> None:
    shell = make(endpoint.url)
    reply = await shell.run(call(service="a'b\"c; $(Stop-Computer) \u00e9"))
    assert reply.kind is ReplyKind.OK
    assert reply.result["args"] == {"service": "a'b\"c; $(Stop-Computer) \u00e9"}
    assert reply.result["logon"] == [None], "it logs on to nobody, so it is given no password"
    await shell.close()
    assert endpoint.seen == ["Create", "Command", "Send", "Receive", "Signal", "Delete"]
    assert endpoint.shells == set()
    assert "exmedic-i1.1" in endpoint.command_line
    assert "Stop-Computer" not in endpoint.command_line


async def test_a_script_that_logs_on_to_exchange_is_given_the_password(endpoint: Endpoint, make: Make) -> None:
    reply = await make(endpoint.url).run(replace(call(server="mbx2.contoso.lab"), script="reboot"))
    assert reply.result["logon"] == ["u", PASSWORD]


async def test_a_long_stdin_travels_in_chunks_and_arrives_whole(endpoint: Endpoint, make: Make) -> None:
    text = "x" * (3 * STDIN_CHUNK)
    reply = await make(endpoint.url).run(call(service=text))
    assert reply.result["args"] == {"service": text}
    assert endpoint.seen.count("Send") > 3


@pytest.mark.parametrize(
    ("action", "behaviour", "kind"),
    [
        ("Create", Cut(), ReplyKind.UNREACHABLE),
        ("Create", Fault(2150859174), ReplyKind.UNREACHABLE),
        ("Create", TIMED_OUT, ReplyKind.UNREACHABLE),
        ("Create", Say(200, b"<html>"), ReplyKind.UNREACHABLE),
        ("Create", Say(200, b"<a/>"), ReplyKind.UNREACHABLE),
        ("Create", Say(503, b"busy"), ReplyKind.UNREACHABLE),
        ("Create", Say(500, b"\xff\xfe"), ReplyKind.UNREACHABLE),
        ("Command", Cut(), ReplyKind.UNKNOWN),
        ("Command", Fault(2150858843), ReplyKind.UNKNOWN),
        ("Command", TIMED_OUT, ReplyKind.UNKNOWN),
        ("Command", Say(200, b"<a/>"), ReplyKind.UNKNOWN),
        ("Send", Cut(), ReplyKind.UNKNOWN),
        ("Receive", Cut(), ReplyKind.UNKNOWN),
        ("Receive", Fault(2150858843), ReplyKind.UNKNOWN),
        ("Receive", Say(200, b"not xml"), ReplyKind.UNKNOWN),
    ],
)
async def test_a_failure_before_the_command_was_never_sent_and_one_after_it_is_unknown(
    endpoint: Endpoint, make: Make, action: str, behaviour: Behaviour, kind: ReplyKind
) -> None:
    endpoint.behave[action] = [behaviour]
    shell = make(endpoint.url, settings=WinrmSettings(attempts=1))
    reply = await shell.run(call())
    assert reply.kind is kind
    assert f"{action}: " in reply.detail
    await shell.close()
    assert endpoint.shells == set(), "the shell was left behind"
    assert endpoint.seen.count("Command") <= 1


async def test_what_was_never_sent_is_tried_again_and_an_effect_is_sent_once(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Create"] = [Cut(), Fault(2150859174)]
    assert (await make(endpoint.url).run(call())).kind is ReplyKind.OK
    assert endpoint.seen.count("Create") == 3
    assert endpoint.seen.count("Command") == 1


async def test_attempts_are_counted(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Create"] = [Cut()] * 9
    assert (await make(endpoint.url, settings=WinrmSettings(attempts=2)).run(call())).kind is ReplyKind.UNREACHABLE
    assert endpoint.seen.count("Create") == 2


async def test_no_attempt_begins_that_the_deadline_would_cut_off(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Create"] = [Cut()] * 9
    reply = await make(endpoint.url, settings=WinrmSettings(attempts=9)).run(call(timeout=3))
    assert reply.kind is ReplyKind.UNREACHABLE
    assert endpoint.seen.count("Create") <= 3, "before a fourth it would have to wait longer than there is time"


async def test_wrong_credentials_are_not_tried_again(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Create"] = [Say(401), Say(401)]
    reply = await make(endpoint.url).run(call(read_only=True))
    assert reply.kind is ReplyKind.UNREACHABLE
    assert "refuses the credential" in reply.detail
    assert endpoint.seen == ["Create"]


async def test_a_password_refused_in_the_middle_of_a_call_is_not_offered_again_to_close_its_shell(
    endpoint: Endpoint, make: Make
) -> None:
    endpoint.behave["Command"] = [Say(401)]
    shell = make(endpoint.url)
    reply = await shell.run(call(read_only=True))
    assert reply.kind is ReplyKind.UNKNOWN
    await shell.close()
    assert endpoint.seen == ["Create", "Command"], "the shell ends by its idle time-out"


async def test_an_operation_timeout_while_waiting_is_no_end(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Receive"] = [TIMED_OUT, TIMED_OUT, TIMED_OUT]
    assert (await make(endpoint.url).run(call())).kind is ReplyKind.OK
    assert endpoint.seen.count("Receive") == 4


@pytest.mark.parametrize("behaviour", [Hang(), Trickle()], ids=["hangs", "trickles"])
@pytest.mark.parametrize(("action", "kind"), [("Create", ReplyKind.UNREACHABLE), ("Receive", ReplyKind.UNKNOWN)])
async def test_the_deadline_holds_and_the_thread_is_freed(
    endpoint: Endpoint, make: Make, behaviour: Behaviour, action: str, kind: ReplyKind
) -> None:
    endpoint.behave[action] = [behaviour]
    shell = make(endpoint.url, settings=WinrmSettings(threads=1))
    reply = await shell.run(call(timeout=4))
    assert reply.kind is kind
    assert (await shell.run(call())).kind is ReplyKind.OK, "the only thread was not freed"
    await shell.close()
    assert endpoint.shells == set()


async def test_the_deadline_of_a_call_does_not_cut_what_closes_its_shell() -> None:
    cut: list[str] = []
    attempt = Attempt(call(), None, until=0.0)
    attempt.on_cut(lambda: cut.append("call"))
    attempt.on_cut(lambda: cut.append("close"), closing=True)
    attempt.cut()
    assert cut == ["call"]
    attempt.cut(closing=True)
    assert cut == ["call", "call", "close"]


async def test_waiting_for_a_thread_counts_and_then_nothing_was_sent(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Receive"] = [Hang()]
    shell = make(endpoint.url, settings=WinrmSettings(threads=1))
    first = asyncio.create_task(shell.run(call(timeout=5)))
    await asyncio.to_thread(endpoint.arrival("Receive").wait, HANG)
    reply = await shell.run(call(timeout=0.3))
    assert reply.kind is ReplyKind.UNREACHABLE
    assert (await first).kind is ReplyKind.UNKNOWN
    await shell.close()
    assert endpoint.seen.count("Command") == 1, "the call that was given up was sent after all"


async def test_a_cancelled_call_is_not_sent_later_and_leaves_no_shell(endpoint: Endpoint, make: Make) -> None:
    shell = make(endpoint.url)
    asked, go_on = threading.Event(), threading.Event()

    @contextmanager
    def slow_permit() -> Iterator[bool]:
        asked.set()
        go_on.wait(HANG)
        yield True

    task = asyncio.create_task(shell.run(call(), slow_permit))
    await asyncio.to_thread(asked.wait, HANG)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await shell.close()
    assert "Command" not in endpoint.seen
    assert endpoint.shells == set()


async def test_a_call_cancelled_after_sending_still_closes_its_shell(endpoint: Endpoint, make: Make) -> None:
    endpoint.behave["Receive"] = [TIMED_OUT] * 3
    shell = make(endpoint.url)
    task = asyncio.create_task(shell.run(call()))
    await asyncio.to_thread(endpoint.arrival("Command").wait, HANG)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await shell.close()
    assert endpoint.seen[-1] == "Delete"
    assert endpoint.shells == set()


async def test_the_permit_spans_the_command_and_all_of_its_input(endpoint: Endpoint, make: Make) -> None:
    seen: list[list[str]] = []

    @contextmanager
    def permit() -> Iterator[bool]:
        seen.append(list(endpoint.seen))
        yield True
        seen.append(list(endpoint.seen))

    assert (await make(endpoint.url).run(call(), permit)).kind is ReplyKind.OK
    assert seen == [["Create"], ["Create", "Command", "Send"]]


async def test_a_permit_that_fails_forbids(endpoint: Endpoint, make: Make) -> None:
    def broken() -> AbstractContextManager[bool]:
        raise OSError("the pause file cannot be read")

    reply = await make(endpoint.url).run(call(), broken)
    assert reply.kind is ReplyKind.UNREACHABLE
    assert "Command" not in endpoint.seen


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (Output(b""), "no answer"),
        (Output(b"garbage\r\n"), "not an answer"),
        (Output(b"", exit_code=3, stderr=b"the session broke off"), "exit code 3"),
    ],
)
async def test_an_answer_that_is_none_is_unknown(endpoint: Endpoint, make: Make, output: Output, why: str) -> None:
    endpoint.answer = lambda _stdin, _line: output
    reply = await make(endpoint.url).run(call())
    assert reply.kind is ReplyKind.UNKNOWN
    assert why in reply.detail


async def test_a_redirect_is_never_followed(endpoint: Endpoint, make: Make, certificate: tuple[Path, Path]) -> None:
    other = Endpoint(certificate[1], answered)
    try:
        endpoint.behave["Create"] = [Say(307, headers=(("Location", other.url),))]
        reply = await make(endpoint.url).run(call())
        assert reply.kind is ReplyKind.UNREACHABLE
        assert "redirects" in reply.detail
        assert other.seen == []
    finally:
        other.stop()


async def test_proxies_of_the_environment_are_not_used_and_it_is_left_alone(
    endpoint: Endpoint, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    before = dict(os.environ)
    shell = make(endpoint.url)
    replies = await asyncio.gather(*(shell.run(call(read_only=True)) for _ in range(12)))
    assert {reply.kind for reply in replies} == {ReplyKind.OK}
    assert dict(os.environ) == before


async def test_an_untrusted_certificate_is_refused_before_the_password_leaves(endpoint: Endpoint, make: Make) -> None:
    stranger = Credential(transport="basic", username="u", password=SECRET)
    reply = await make(endpoint.url, stranger).run(call())
    assert reply.kind is ReplyKind.UNREACHABLE
    assert "certificate" in reply.detail
    assert endpoint.authorizations == []


async def test_basic_without_tls_is_refused_before_anything_is_sent(make: Make) -> None:
    plain = Endpoint(None, answered)
    try:
        reply = await make(plain.url).run(call())
        assert reply.kind is ReplyKind.UNREACHABLE
        assert "https" in reply.detail
        assert plain.seen == []
    finally:
        plain.stop()


async def test_an_answer_in_clear_where_messages_are_encrypted_is_not_believed(tmp_path: Path, make: Make) -> None:
    """Whoever sits in between could otherwise say "healthy" without knowing any key."""
    with Lab(tmp_path, LabClock.starting_now(60)) as lab, _forger(lab.endpoints[SERVER]) as url:
        ntlm = Credential(username=lab.username, password=SECRET)
        reply = await make(url, ntlm, WinrmSettings(attempts=1), lambda _: lab.password).run(call())
        assert reply.kind is ReplyKind.UNREACHABLE
        assert "encrypted" in reply.detail


@contextmanager
def _forger(url: str) -> Iterator[str]:
    """Passes NTLM's handshake through, and answers the first sealed request itself, in clear."""
    host, port = url.split("/")[2].split(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection((host, int(port))) as upstream:
            while request := _http(client):
                if b"Encrypted Boundary" in request:
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>")
                    return
                upstream.sendall(request)
                client.sendall(_http(upstream))

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/wsman"
    thread.join()
    listener.close()


def _http(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length; empty when the connection ended."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return b""
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize(("transport", "second_hop"), [("ntlm", "credential"), ("credssp", "delegated")])
async def test_each_transport_goes_the_second_hop_and_a_wrong_password_goes_nowhere(
    tmp_path: Path, make: Make, transport: str, second_hop: str
) -> None:
    with Lab(tmp_path, LabClock.starting_now(60)) as lab:
        credential = Credential.model_validate(
            {"transport": transport, "username": lab.username, "password": SECRET, "second_hop": second_hop}
        )
        good = make(lab.endpoints[SERVER], credential, read_secret=lambda _: lab.password)
        bad = make(lab.endpoints[SERVER], credential)
        args = {"server": "mbx2.contoso.lab", "health_sets": ["POP.Protocol"]}
        ask = Call(executor=SERVER, script="server_health", args=args, step_id="i1.1", timeout=HANG, read_only=True)
        reply = await good.run(ask)
        assert reply.kind is ReplyKind.OK, reply.detail
        assert reply.result["rows"]
        refused = await bad.run(ask)
        assert refused.kind is ReplyKind.UNREACHABLE
        assert "refuses the credential" in refused.detail
        await good.close()
        assert lab.open_shells(SERVER) == 0


async def test_the_lab_answers_late_and_is_waited_for(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.adapters.winrm.conversation.OPERATION_TIMEOUT", 1)
    with Lab(tmp_path, LabClock.starting_now(60)) as lab:
        lab.break_server(SERVER, LabFault.LATE_ANSWER, timeouts=2)
        credential = Credential(username=lab.username, password=SECRET)
        shell = make(lab.endpoints[SERVER], credential, read_secret=lambda _: lab.password)
        assert (await shell.run(call(read_only=True, services=[]))).kind is ReplyKind.OK


async def test_a_port_that_speaks_something_else_is_unreachable(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 smtp ready\r\n")
                connection.recv(100)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/wsman"
        reply = await make(url, settings=WinrmSettings(attempts=1)).run(call())
        thread.join()
    assert reply.kind is ReplyKind.UNREACHABLE


async def test_a_server_outside_the_inventory_is_never_contacted(endpoint: Endpoint, make: Make) -> None:
    reply = await make(endpoint.url).run(call(executor="stranger.contoso.lab"))
    assert reply.kind is ReplyKind.UNREACHABLE
    assert "not in the inventory" in reply.detail
    assert endpoint.seen == []


async def test_a_password_that_cannot_be_read_is_unreachable_and_names_the_file(endpoint: Endpoint, make: Make) -> None:
    def missing(_: Secret) -> str:
        raise FileNotFoundError(PASSWORD)

    reply = await make(endpoint.url, read_secret=missing).run(call())
    assert reply.kind is ReplyKind.UNREACHABLE
    assert "password" in reply.detail
    assert PASSWORD not in reply.detail


async def test_the_password_is_in_no_log_and_no_detail(
    endpoint: Endpoint, make: Make, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    replies: list[Reply] = []
    shell = make(endpoint.url, settings=WinrmSettings(attempts=1))
    for action in ("Create", "Command", "Receive", "Delete"):
        endpoint.behave = {action: [Say(500, PASSWORD.encode())]}
        replies.append(await shell.run(call()))
    endpoint.answer = lambda _stdin, _line: Output(b"", exit_code=1, stderr=PASSWORD.encode())
    replies.append(await shell.run(call()))
    await shell.close()
    basic = base64.b64encode(f"u:{PASSWORD}".encode()).decode()
    said = " ".join(reply.detail for reply in replies) + caplog.text + "".join(capfd.readouterr()) + repr(shell)
    assert "exit code 1" in said
    assert PASSWORD not in said
    assert basic not in said
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"asyncio"}, "a library talks"
