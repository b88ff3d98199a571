"""The look from outside: real POP3 over loopback, with and without TLS, a login, and a server that hangs."""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.adapters.pop3 import Pop3Client, _Target
from daemon.config.settings import Credential, Secret
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory, Role, Server
from statemachines.mistake import Mistake
from tests.adapters.pop3_server import Behaviour, pop3_server
from tests.realparts.certificates import Certificates, make_certificates
from tests.realparts.waiting import HANG

CAS = "cas1.contoso.lab"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """Certificates whose authority this machine trusts, for OpenSSL's sake through its own variable."""
    made = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    return made


def client(
    address: str,
    *,
    password: str | None = None,
    read: Callable[[Secret], str] | None = None,
    mailbox: Credential | None = None,
    deadline: float = HANG,
    names: tuple[str, ...] = (CAS,),
    now: Callable[[], float] = time.monotonic,
) -> Pop3Client:
    server = Server(
        name=CAS,
        roles=frozenset({Role.CLIENT_ACCESS}),
        dag=None,
        site="Lyon",
        endpoint="http://127.0.0.1:1/wsman",
        credential="lab",
        tags=frozenset(),
        outside=address,
        outside_login=None if password is None else "mailbox",
    )
    secret = Secret(credential="mailbox")
    mailbox = mailbox or Credential(transport="basic", username="test@contoso.lab", password=secret)
    servers = tuple(replace(server, name=name) for name in names)
    return Pop3Client(Inventory(servers), {"mailbox": mailbox}, read or (lambda _: str(password)), deadline, now)


async def test_a_good_server_is_seen_as_a_client_sees_it_with_tls_from_the_start(files: Certificates) -> None:
    with pop3_server(files, implicit=True) as server:
        view = await client(f"pop3s://127.0.0.1:{server.port}").look(CAS)
    assert view.good, view.detail
    assert "TLSv1.3, greeting, CAPA, QUIT" in view.detail
    assert server.behaviour.heard == ["tls", "CAPA", "QUIT"]


async def test_plain_pop3_is_upgraded_before_anything_else(files: Certificates) -> None:
    with pop3_server(files) as server:
        view = await client(f"pop3://127.0.0.1:{server.port}", password="secret").look(CAS)
    assert view.good, view.detail
    assert server.behaviour.heard == ["CAPA", "CAPA", "STLS", "tls", "USER", "PASS", "QUIT"]


async def test_without_tls_no_password_goes_out_and_the_look_is_bad(files: Certificates) -> None:
    with pop3_server(files, Behaviour(offers_stls=False)) as server:
        view = await client(f"pop3://127.0.0.1:{server.port}", password="secret").look(CAS)
    assert not view.good
    assert "offers no STLS" in view.detail
    assert "USER" not in server.behaviour.heard


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_certificate_that_is_not_trusted_is_a_bad_look_and_gets_no_password(
    tmp_path: Path, implicit: bool
) -> None:
    files = make_certificates(tmp_path)
    with pop3_server(files, implicit=implicit) as server:
        scheme = "pop3s" if implicit else "pop3"
        view = await client(f"{scheme}://127.0.0.1:{server.port}", password="secret").look(CAS)
    assert not view.good
    assert "certificate is not trusted here" in view.detail
    assert "USER" not in server.behaviour.heard


async def test_a_login_that_fails_is_a_bad_look_and_the_password_is_in_no_message(files: Certificates) -> None:
    with pop3_server(files, Behaviour(password="other"), implicit=True) as server:
        view = await client(f"pop3s://127.0.0.1:{server.port}", password="secret").look(CAS)
    assert not view.good
    assert "Logon failure for ***" in view.detail
    assert "secret" not in view.detail


async def test_a_refused_login_is_not_offered_again_to_that_server_for_a_quarter_of_an_hour(
    files: Certificates,
) -> None:
    clock = [0.0]
    with pop3_server(files, Behaviour(password="other"), implicit=True) as server:
        outside = client(f"pop3s://127.0.0.1:{server.port}", password="secret", now=lambda: clock[0])
        for minute in range(31):
            clock[0] = 60.0 * minute
            view = await outside.look(CAS)
            assert not view.good, "a login that was not tried makes nothing better"
        assert server.behaviour.heard.count("PASS") == 3
        server.behaviour.password = "secret"
        clock[0] = 60.0 * 45
        assert (await outside.look(CAS)).good


async def test_another_password_is_offered_at_once(files: Certificates) -> None:
    passwords = iter(["wrong", "secret"])
    with pop3_server(files, implicit=True) as server:
        address = f"pop3s://127.0.0.1:{server.port}"
        outside = client(address, password="x", read=lambda _: next(passwords), now=lambda: 0.0)
        assert not (await outside.look(CAS)).good
        assert (await outside.look(CAS)).good


async def test_two_servers_that_refuse_a_login_are_enough_and_one_that_accepts_it_leaves_one_alone_with_that(
    files: Certificates,
) -> None:
    names = tuple(f"cas{number}.contoso.lab" for number in range(6))
    with pop3_server(files, Behaviour(password="other"), implicit=True) as server:
        outside = client(f"pop3s://127.0.0.1:{server.port}", password="secret", names=names, now=lambda: 0.0)
        for name in names:
            await outside.look(name)
        assert server.behaviour.heard.count("PASS") == 2
    with pop3_server(files, Behaviour(password="other"), implicit=True) as server:
        outside = client(f"pop3s://127.0.0.1:{server.port}", password="secret", names=names, now=lambda: 0.0)
        await outside.look(names[0])
        server.behaviour.password = "secret"
        assert [(await outside.look(name)).good for name in names] == [False, *[True] * 5]


async def test_a_refusal_before_the_password_was_accepted_somewhere_says_nothing_about_it(files: Certificates) -> None:
    names = tuple(f"cas{number}.contoso.lab" for number in range(4))
    with pop3_server(files, implicit=True) as server:
        outside = client(f"pop3s://127.0.0.1:{server.port}", password="secret", names=names, now=lambda: 0.0)
        seen = []
        for name, right in zip(names, ("other", "secret", "other", "secret"), strict=True):
            server.behaviour.password = right
            seen.append((await outside.look(name)).good)
    assert seen == [False, True, False, True]


async def test_a_password_that_cannot_be_read_is_said_and_nothing_is_sent(files: Certificates) -> None:
    def unreadable(_: Secret) -> str:
        raise ConfigError((Mistake(Path("mailbox"), 0, "the secret cannot be read"),))

    with pop3_server(files, implicit=True) as server:
        view = await client(f"pop3s://127.0.0.1:{server.port}", password="x", read=unreadable).look(CAS)
    assert not view.good
    assert "the secret cannot be read" in view.detail
    assert server.behaviour.heard == []


@pytest.mark.parametrize("where", ["connect", "CAPA", "QUIT"])
async def test_a_server_that_hangs_is_given_up_at_the_deadline_and_not_asked_again_meanwhile(
    files: Certificates, where: str
) -> None:
    with pop3_server(files, Behaviour(hangs_at=where), implicit=True) as server:
        looking = client(f"pop3s://127.0.0.1:{server.port}", deadline=0.3)
        view = await looking.look(CAS)
        assert not view.good
        assert "did not get done in" in view.detail
        again = await looking.look(CAS)
        assert "still holds the connection" in again.detail


async def test_a_server_that_drips_is_given_up_too(files: Certificates) -> None:
    with pop3_server(files, Behaviour(drips=True), implicit=True) as server:
        view = await client(f"pop3s://127.0.0.1:{server.port}", deadline=0.3).look(CAS)
    assert not view.good


async def test_nobody_listening_and_a_server_that_says_no_are_bad_looks(files: Certificates) -> None:
    with pop3_server(files, Behaviour(greeting=b"-ERR too busy\r\n"), implicit=True) as server:
        port = server.port
        busy = await client(f"pop3s://127.0.0.1:{port}").look(CAS)
    assert not busy.good
    assert "too busy" in busy.detail
    gone = await client(f"pop3s://127.0.0.1:{port}").look(CAS)
    assert not gone.good
    assert "refused" in gone.detail


async def test_a_server_without_an_address_is_a_defect_of_the_caller() -> None:
    looking = client("pop3s://127.0.0.1:1")
    with pytest.raises(ValueError, match="has no address"):
        await looking.look("mbx1.contoso.lab")


async def test_a_credential_without_a_password_is_said_and_nothing_is_sent(files: Certificates) -> None:
    with pop3_server(files, implicit=True) as server:
        ticket = Credential(transport="kerberos", username="test@contoso.lab", second_hop="delegated")
        view = await client(f"pop3s://127.0.0.1:{server.port}", password="x", mailbox=ticket).look(CAS)
    assert not view.good
    assert "[credentials.mailbox] has no password to log in with" in view.detail
    assert server.behaviour.heard == []


def test_a_password_on_its_way_to_a_server_shows_in_no_repr() -> None:
    target = _Target(
        host="h", port=995, implicit=True, user="u", password="s3cret-pass", context=ssl.create_default_context()
    )
    assert "s3cret-pass" not in repr(target)
