"""Reading what a script wrote: stdout and exit code become a `Reply`, and whatever does not fit becomes `unknown`.

The passwords of others are struck out here, of every text: before this nobody sees an answer, behind it everybody may.
"""

import re
from dataclasses import replace

from pydantic import ValidationError

from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.exchange.answers import Envelope
from daemon.exchange.struck import struck_out


def read_answer(call: Call, *, host: str, stdout: bytes, stderr: bytes, exit_code: int) -> Reply:
    """The reply to a call that came to its end. `host` is the FQDN of the server that was called.

    stderr is never judged (PowerShell writes progress there and ends well); it only explains a missing answer.
    """
    reply = _read(call, host, stdout, stderr, exit_code)
    warnings = tuple(struck_out(warning) for warning in reply.warnings)
    return replace(reply, result=struck_out(reply.result), detail=struck_out(reply.detail), warnings=warnings)


def _read(call: Call, host: str, stdout: bytes, stderr: bytes, exit_code: int) -> Reply:
    if exit_code != 0:
        return _unknown(call, f"ended with exit code {exit_code} and no answer{_quoted(stderr)}")
    # Split bytes at line feeds only: text has more line separators than that, and JSON may hold them.
    lines = [line.strip() for line in stdout.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    if not lines:
        return _unknown(call, f"wrote no answer{_quoted(stderr)}")
    if sum(line.startswith(b"{") and b'"exmedic"' in line for line in lines) > 1:
        return _unknown(call, "wrote more than one answer")
    try:
        envelope = Envelope.model_validate_json(lines[-1])
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the line itself"
        return _unknown(call, f"wrote something that is not an answer (wrong: {place})")
    mismatch = _mismatch(call, host, envelope)
    if mismatch:
        return _unknown(call, mismatch)
    return _reply(call, envelope)


def _mismatch(call: Call, host: str, envelope: Envelope) -> str:
    """Why an answer cannot be the one to this call; empty when it is."""
    if envelope.script != call.script:
        return f"was answered as if {envelope.script!r} had been called"
    if envelope.step != call.step_id:
        return f"was answered for the step {envelope.step!r}"
    named = envelope.host.lower()
    if named not in (host.lower(), host.lower().partition(".")[0]):
        return f"was answered by the host {envelope.host!r}: check the endpoint of {host} in the inventory"
    return ""


def _reply(call: Call, envelope: Envelope) -> Reply:
    if envelope.ok and envelope.result is not None and envelope.error is None:
        return Reply(
            kind=ReplyKind.OK,
            result=envelope.result,
            host=envelope.host,
            clock=envelope.clock,
            powershell=_version(envelope.powershell),
            warnings=envelope.warnings,
        )
    if not envelope.ok and envelope.error is not None:
        return Reply(
            kind=ReplyKind.FAILED,
            result={},
            error=envelope.error.kind,
            detail=envelope.error.message,
            host=envelope.host,
            clock=envelope.clock,
            powershell=_version(envelope.powershell),
            warnings=envelope.warnings,
        )
    return _unknown(call, "contradicts itself: it needs either a result or an error")


def _version(said: str) -> str:
    """A version, and no other text."""
    return said if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){1,3}", said) else ""


def _unknown(call: Call, what: str) -> Reply:
    return Reply(kind=ReplyKind.UNKNOWN, result={}, detail=f"{call.script} on {call.executor} {what}")


def _quoted(stderr: bytes) -> str:
    """The readable part of stderr, shortened; PowerShell's own records (CLIXML) are left out."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    text = " ".join(line for line in lines if line and not line.startswith(("#< CLIXML", "<Objs")))
    return f": {text[:300]}" if text else ""
