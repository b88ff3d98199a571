"""WinRM: the Shell port, over pywinrm.

pywinrm is synchronous, so each attempt runs in a thread of a bounded pool of its own. Before the Command request every
end is `unreachable`; from it on, every end without a usable answer is `unknown`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, stop_before_delay, wait_exponential_jitter

from daemon.adapters.winrm.attempt import CLEANUP, Attempt, End, Stop, Withheld
from daemon.adapters.winrm.conversation import Conversation
from daemon.config.settings import Credential, Secret, WinrmSettings
from daemon.domain.inventory import Inventory, Server
from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.exchange import launch as scripts
from daemon.exchange.envelope import read_answer
from daemon.exchange.logons import Logons

_log = structlog.get_logger("exmedic.winrm")


class WinrmShell:
    """`ports.Shell` over WinRM, for the servers of the inventory and no others.

    `read_secret` is called in the sending threads, once an attempt, so that a renewed password is picked up. `logons`
    knows which passwords are not offered now.
    """

    def __init__(
        self,
        inventory: Inventory,
        settings: WinrmSettings,
        credentials: Mapping[str, Credential],
        read_secret: Callable[[Secret], str],
        logons: Logons,
    ) -> None:
        self._inventory = inventory
        self._settings = settings
        self._credentials = credentials
        self._read_secret = read_secret
        self._logons = logons
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="winrm")
        self._jobs: set[Future[None]] = set()
        self._closed = False

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """Run one script; see the port. Waiting for a thread counts against the deadline.

        A retried read enters its permit once for each attempt.

        Raises:
            KeyError, ValueError: the call itself is wrong (script, step id): a mistake of ours.
        """
        scripts.load(call.script)
        scripts.arguments(call.step_id)
        until = time.monotonic() + call.timeout
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._settings.attempts) | stop_before_delay(call.timeout),
            wait=wait_exponential_jitter(multiplier=0.5, max=5, jitter=0.5),
            retry=retry_if_result(lambda end: _again(call, end)),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        end: End = await retrying(self._try, call, permit, until)
        return end.reply

    async def close(self) -> None:
        """Wait until every thread has closed its shell; calls that come later are unreachable."""
        self._closed = True
        if self._jobs:
            await asyncio.wait({asyncio.wrap_future(job) for job in self._jobs})
        self._pool.shutdown(wait=False)

    async def _try(self, call: Call, permit: Permit | None, until: float) -> End:
        attempt = Attempt(call, permit, until)
        if self._closed:
            return attempt.lost("the daemon is stopping", again=False)
        loop = asyncio.get_running_loop()
        job = self._pool.submit(self._carry_out, attempt)
        self._jobs.add(job)
        late = max(attempt.left, 0.0)
        cuts = [
            loop.call_later(late, attempt.cut),
            loop.call_later(late + CLEANUP, partial(attempt.cut, closing=True)),
        ]

        def ended(job: Future[None]) -> None:
            self._jobs.discard(job)
            for cut in cuts:
                cut.cancel()

        def in_loop(job: Future[None]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and the timers with it
                loop.call_soon_threadsafe(ended, job)

        job.add_done_callback(in_loop)
        try:
            return await attempt.wait()
        finally:
            job.cancel()  # only takes a job back that no thread has begun

    def _carry_out(self, attempt: Attempt) -> None:
        """One attempt, in a thread: its end is delivered first, then its shell is closed."""
        conversation: Conversation | None = None
        try:
            server, credential, password = self._access(attempt.call)
            logon = None if attempt.call.script in scripts.ON_THEIR_OWN else self._logon(credential, password)
            launch = scripts.launch(attempt.call.script, attempt.call.step_id, attempt.call.args, logon)
            identity = self._logons.identity(server.credential, credential.username, _place(credential), password or "")
            log_on = partial(self._logons.begin, identity, server.name, others=self._has_others(server))
            conversation = Conversation(server, credential, password, self._settings.connect_timeout, log_on)
            stdout, stderr, exit_code = conversation.hold(attempt, launch, onward=logon is not None)
            reply = read_answer(attempt.call, host=server.name, stdout=stdout, stderr=stderr, exit_code=exit_code)
            reply = _without(reply, password)
            if logon is not None:
                conversation.answered(reply)
            end = End(reply, again=True)
        except Withheld:
            detail = f"{attempt.call.script} on {attempt.call.executor} was withheld at the last moment"
            end = End(Reply(kind=ReplyKind.WITHHELD, result={}, detail=detail))
        except Stop as stop:
            # At the deadline we cut the line ourselves: that it broke off is then no news.
            end = attempt.late() if attempt.left <= 0 else attempt.lost(stop.detail, again=stop.again, error=stop.error)
        except Exception as error:  # noqa: BLE001 - a permit's or our own mistake must not lose the answer
            _log.error("winrm_attempt_failed", script=attempt.call.script, error=type(error).__name__)
            end = attempt.lost(f"a mistake inside exmedic ({type(error).__name__})", again=False)
        if conversation is None:
            attempt.deliver(end)
            return
        conversation.leave()
        attempt.deliver(end)
        conversation.close(attempt)

    def _access(self, call: Call) -> tuple[Server, Credential, str | None]:
        """The server and how to log on to it."""
        server = self._inventory.find(call.executor)
        if server is None:
            raise Stop("it is not in the inventory, so it is never contacted", again=False)
        credential = self._credentials.get(server.credential)
        if credential is None:
            raise Stop(f"the configuration has no [credentials.{server.credential}]", again=False)
        if credential.transport == "basic" and not server.endpoint.lower().startswith("https://"):
            raise Stop(
                "transport basic would show the password: use an https endpoint or another transport", again=False
            )
        if credential.password is None:  # Kerberos with a ticket
            return server, credential, None
        try:
            return server, credential, self._read_secret(credential.password)
        except Exception as error:
            place = f"{_place(credential)}: {type(error).__name__}"
            text = f"the password of [credentials.{server.credential}] cannot be read ({place})"
            raise Stop(text) from error

    def _has_others(self, server: Server) -> bool:
        """Whether the password of a server is offered to another one as well."""
        return any(each.credential == server.credential and each.name != server.name for each in self._inventory)

    def _logon(self, credential: Credential, password: str | None) -> scripts.Logon | None:
        """What a script logs on to Exchange with."""
        if credential.second_hop != "credential" or password is None:
            return None
        return scripts.Logon(credential.username, password)


def _again(call: Call, end: End) -> bool:
    """Whether to try once more: nothing was sent, or it only reads."""
    if not end.again:
        return False
    lost_read = call.read_only and end.reply.kind is ReplyKind.UNKNOWN
    return end.reply.kind is ReplyKind.UNREACHABLE or lost_read


def _place(credential: Credential) -> str:
    """Where a password is kept, for humans."""
    if credential.password is None:
        return "the Kerberos ticket cache"
    file = credential.password.file
    return str(file) if file is not None else f"systemd credential {credential.password.credential}"


def _without(reply: Reply, secret: str | None) -> Reply:
    """The reply, should a server have quoted the password in its words."""
    return replace(reply, detail=reply.detail.replace(secret, "***")) if secret else reply
