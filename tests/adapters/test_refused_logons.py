"""A password that is refused costs one logon, for all servers and threads, and is not offered again for a while."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.adapters.winrm.shell import WinrmShell
from daemon.audit.logon_watch import LogonWatch
from daemon.config.settings import Credential, Secret, WinrmSettings
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Channel
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import LOGON, Call, Permit, Reply, ReplyKind
from daemon.exchange.answers import ServerHealth
from daemon.exchange.client import Asker, Unheard
from daemon.exchange.logons import REST, Logons
from daemon.exchange.silences import AttentiveShell
from daemon.lab.clock import LabClock
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.lab.security import Account
from daemon.testing.clock import NOON, ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.realparts.relay import relay

MBX1, MBX2, MBX3, CAS1 = (f"{name}.contoso.lab" for name in ("mbx1", "mbx2", "mbx3", "cas1"))
EVERYBODY = (MBX1, MBX2, MBX3, CAS1)
WRONG = "wrong-Passw0rd"
THREADS = 16
ON_EXCHANGE = {"health_sets": ["POP.Protocol"], "server": MBX1}


@dataclass
class Site:
    """A lab, and shells that log on to it with whatever `password` is at the moment."""

    lab: Lab
    folder: Path
    password: str = WRONG
    clock: ManualClock = field(default_factory=ManualClock)
    made: list[WinrmShell] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "logons.json"

    def shell(self, *, transport: str = "ntlm", logons: Logons | None = None, through: str = "") -> WinrmShell:
        servers = tuple(
            Server(
                name=name,
                roles=frozenset({Role.MAILBOX}),
                dag=None,
                site="Lyon",
                endpoint=through or self.lab.endpoints[name],
                credential="lab",
                tags=frozenset(),
            )
            for name in EVERYBODY
        )
        secret = Secret(file=Path("/etc/exmedic/secrets/exchange"))
        credential = Credential.model_validate(
            {
                "transport": transport,
                "username": self.lab.username,
                "password": secret,
                "second_hop": "delegated" if transport == "credssp" else "credential",
            }
        )
        settings = WinrmSettings(connect_timeout=2, threads=THREADS)
        credentials = {"lab": credential}
        self.made.append(
            WinrmShell(
                Inventory(servers), settings, credentials, lambda _: self.password, logons or Logons(self.clock.now)
            )
        )
        return self.made[-1]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with Lab(tmp_path, LabClock.starting_now(60)) as lab:
        site = Site(lab, tmp_path)
        yield site
        for shell in site.made:
            await shell.close()


def read(executor: str = MBX1, script: str = "server_state", *, timeout: float = 20.0) -> Call:
    args = {"services": []} if script == "server_state" else ON_EXCHANGE
    return Call(executor=executor, script=script, args=args, step_id="i1-01", timeout=timeout, read_only=True)


def effect(executor: str = MBX1) -> Call:
    args = {"service": "MSExchangePOP3BE", "stop_timeout": 5, "not_after": "2099-01-01T00:00:00Z"}
    return Call(executor=executor, script="restart_service", args=args, step_id="i1-02", timeout=20.0, read_only=False)


def is_withheld(reply: Reply) -> bool:
    return (reply.kind, reply.error) == (ReplyKind.UNREACHABLE, LOGON)


@pytest.mark.parametrize("transport", ["ntlm", "credssp"])
async def test_a_connection_that_breaks_off_in_the_middle_of_a_logon_is_no_refused_password(
    site: Site, transport: str
) -> None:
    site.password = Account().password
    breaking = 3

    def in_the_middle(answer: bytes) -> bool:
        nonlocal breaking
        breaks = breaking > 0 and re.search(rb"WWW-Authenticate: (Negotiate|CredSSP) \S{20}", answer) is not None
        breaking -= breaks
        return breaks

    async with relay() as between:
        between.breaks = in_the_middle
        shell = site.shell(transport=transport, through=await between.endpoint(site.lab.endpoints[MBX1]))
        replies = [await shell.run(read()) for _ in range(4)]
    assert breaking == 0
    assert not [reply for reply in replies if reply.error == LOGON], replies
    assert replies[-1].kind is ReplyKind.OK
    assert site.lab.refused_logons() == 0


@pytest.mark.parametrize("transport", ["ntlm", "credssp"])
async def test_as_many_threads_as_there_are_cost_one_refused_logon(site: Site, transport: str) -> None:
    shell = site.shell(transport=transport)
    calls = [read(EVERYBODY[number % 4], "server_health" if number % 2 else "server_state") for number in range(15)]
    replies = await asyncio.gather(*(shell.run(call) for call in (*calls, effect())))
    assert site.lab.refused_logons() == 1
    assert len(replies) == THREADS
    assert all(is_withheld(reply) for reply in replies), replies
    assert site.lab.reads() == {}
    assert site.lab.effects() == ()


async def test_it_is_offered_once_more_after_a_quarter_of_an_hour_and_so_on(site: Site) -> None:
    shell = site.shell()
    for refused in (1, 2, 3):
        for server in EVERYBODY:
            assert is_withheld(await shell.run(read(server)))
        assert site.lab.refused_logons() == refused
        site.clock.advance(REST.total_seconds() - 1)
        assert is_withheld(await shell.run(read()))
        assert site.lab.refused_logons() == refused
        site.clock.advance(1)


async def test_what_is_withheld_says_until_when_who_refused_it_and_which_file_to_correct(site: Site) -> None:
    shell = site.shell()
    await shell.run(read(MBX1))
    reply = await shell.run(read(MBX2))
    assert "no logon with [credentials.lab]" in reply.detail
    assert "until 2026-11-02 12:15 UTC: refused at 12:00 by mbx1.contoso.lab" in reply.detail
    assert "correct /etc/exmedic/secrets/exchange" in reply.detail
    assert "before the command was sent" in reply.detail


async def test_another_password_is_tried_at_once_and_a_right_one_goes_on(site: Site) -> None:
    shell = site.shell()
    await shell.run(read())
    site.password = "as-wrong"
    assert is_withheld(await shell.run(read()))
    assert site.lab.refused_logons() == 2
    site.password = site.lab.password
    replies = await asyncio.gather(*(shell.run(read(server)) for server in EVERYBODY * 4))
    assert [reply.kind for reply in replies] == [ReplyKind.OK] * 16
    assert site.lab.refused_logons() == 2


async def test_once_accepted_nobody_waits_for_anybody(site: Site) -> None:
    site.password = site.lab.password
    shell = site.shell()
    assert (await shell.run(read(MBX1))).kind is ReplyKind.OK
    site.lab.break_server(MBX2, Fault.SILENT_ENDPOINT)
    silent = asyncio.create_task(shell.run(read(MBX2, timeout=8.0)))
    assert (await shell.run(read(MBX3, timeout=4.0))).kind is ReplyKind.OK
    assert not silent.done()
    assert (await silent).kind is ReplyKind.UNREACHABLE


async def test_a_server_that_never_answers_lets_the_next_one_try(site: Site) -> None:
    site.password = site.lab.password
    site.lab.break_server(MBX2, Fault.SILENT_ENDPOINT)
    shell = site.shell()
    silent = asyncio.create_task(shell.run(read(MBX2, timeout=2.0)))
    await asyncio.sleep(0)
    assert (await shell.run(read(MBX3))).kind is ReplyKind.OK
    assert (await silent).kind is ReplyKind.UNREACHABLE


async def test_a_restart_costs_no_logon_and_no_page(site: Site) -> None:
    logons = Logons(site.clock.now, site.file)
    await site.shell(logons=logons).run(read())
    logons.tell(logons.untold()[0])
    for _ in range(6):
        again = Logons(site.clock.now, site.file)
        assert is_withheld(await site.shell(logons=again).run(read()))
        assert again.untold() == []
    assert site.lab.refused_logons() == 1
    site.clock.advance(REST.total_seconds())
    await site.shell(logons=Logons(site.clock.now, site.file)).run(read(MBX2))
    assert site.lab.refused_logons() == 2
    assert Logons(site.clock.now, site.file).untold() == [], "it was not accepted since"


async def test_the_file_holds_no_password_and_a_damaged_one_costs_one_logon(site: Site) -> None:
    await site.shell(logons=Logons(site.clock.now, site.file)).run(read())
    assert WRONG not in site.file.read_text()
    assert site.file.stat().st_mode & 0o777 == 0o600
    site.file.write_text("{")
    assert is_withheld(await site.shell(logons=Logons(site.clock.now, site.file)).run(read()))
    assert site.lab.refused_logons() == 2


@pytest.fixture
def old_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A domain takes the old password for an hour over NTLM; the way on to Exchange does not."""
    monkeypatch.setattr(Account, "accepts", lambda *_: False)


@pytest.mark.usefixtures("old_password")
async def test_a_password_that_only_exchange_refuses_costs_one_logon_as_well(site: Site) -> None:
    site.password = site.lab.password
    shell = site.shell()
    replies = await asyncio.gather(*(shell.run(read(server, "server_health")) for server in EVERYBODY * 4))
    assert site.lab.refused_logons() == 1
    (told,) = [reply for reply in replies if reply.kind is ReplyKind.FAILED]
    assert told.error == LOGON
    assert sum(is_withheld(reply) for reply in replies) == 15
    assert is_withheld(await shell.run(read())), "nor is it offered to a server alone"
    site.clock.advance(REST.total_seconds())
    assert (await shell.run(read())).kind is ReplyKind.OK
    assert (await shell.run(read(MBX2, "server_health"))).error == LOGON
    assert is_withheld(await shell.run(read()))
    assert site.lab.refused_logons() == 2


async def test_a_server_that_offers_no_such_transport_was_offered_no_password(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.lab.security._OFFERS", ("Negotiate",))
    reply = await site.shell(transport="credssp").run(read())
    assert reply.kind is ReplyKind.UNREACHABLE
    assert reply.error == "", "so it rests for nobody"


async def test_a_refusal_does_not_lead_to_the_next_server_nor_counts_as_silence(site: Site) -> None:
    asked: list[str] = []
    inner = site.shell()

    class Noting:
        async def run(self, call: Call, permit: Permit | None = None) -> Reply:
            asked.append(call.executor)
            return await inner.run(call, permit)

        async def close(self) -> None:
            """Nothing of its own."""

    shell = AttentiveShell(Noting(), site.clock)
    inventory = inner._inventory  # noqa: SLF001 - the same servers
    ask = Asker(shell=shell, clock=site.clock, inventory=inventory, timeout=10.0, silent=shell.silent)
    server = inventory.find(MBX1)
    assert server is not None
    for _ in range(2):  # refused, then withheld
        answer = await ask.about(server, "server_health", ON_EXCHANGE, ServerHealth, "i1-01")
        assert isinstance(answer, Unheard)
        assert answer.outcome == "unreachable"
    assert asked == [inventory.peers(server)[0].name] * 2
    assert shell.silent() == frozenset()


async def test_one_page_until_a_logon_was_accepted(site: Site) -> None:
    store, logons = MemoryStore(), Logons(site.clock.now, site.file)
    await store.open()
    shell = site.shell(logons=logons)
    watch = LogonWatch(logons=logons, store=store, clock=site.clock, prefix="exmedic", committed=lambda: None)

    async def pages() -> list[str]:
        await watch.look()
        return [str(row.message.body["text"]) for row in await store.outbox(Channel.NOTIFY, 100)]

    assert await pages() == []
    for _ in range(3):
        await asyncio.gather(*(shell.run(read(server)) for server in EVERYBODY))
        (page,) = await pages()
        site.clock.advance(REST.total_seconds())
    assert "[credentials.lab]" in page
    assert "/etc/exmedic/secrets/exchange" in page
    assert WRONG not in page
    (told,) = await store.outbox(Channel.BUS, 100)
    assert told.message.topic == "exmedic/escalations"
    assert told.message.body["incident"] == ""
    rows = [row for row in await store.audit_after(0, 100) if row.entry.kind is AuditKind.LOGON_REFUSED]
    assert len(rows) == 1
    site.password = site.lab.password
    assert (await shell.run(read())).kind is ReplyKind.OK
    site.password = WRONG
    await shell.run(read())
    assert len(await pages()) == 2
    await store.close()


def clock_at(moments: list[datetime]) -> Callable[[], datetime]:
    return lambda: moments[-1]


async def test_an_earlier_clock_after_a_restart_does_not_make_the_rest_longer(site: Site) -> None:
    moments = [NOON]
    logons = Logons(clock_at(moments), site.file)
    await site.shell(logons=logons).run(read())
    assert len(logons.resting()) == 1
    moments.append(NOON - timedelta(hours=5))
    assert Logons(clock_at(moments), site.file).resting() == []
