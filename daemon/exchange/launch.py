"""The PowerShell that exmedic runs: fixed, reviewed files. Arguments are data, and no text ever becomes a command.

What travels to a server for one call is `BOOTSTRAP`, with the step's id in it as a marker, on the command line, and
on stdin a line with the base64 of a JSON object: `script` (the text of `_prelude.ps1` and the script, base64), `name`,
`step`, `args`, and where a second hop needs one `username` with `secret_sha256`: the SHA-256 in hex of the second line
as it travels, which is the base64 of random bytes and the password. Without it, or cut, the script is not run.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

#: The scripts by name. `daemon.exchange.answers` has the arguments and answers of each.
NAMES = (
    "server_health",
    "invoke_probe",
    "database_copies",
    "set_activation",
    "server_state",
    "restart_service",
    "reboot",
    "step_running",
    "exchange_server",
    "dag_health",
    "recovery_log",
    "pop_settings",
    "set_protocol_log",
    "protocol_log",
    "organisation",
)

#: Those that open no session with Exchange, so they are given no password.
ON_THEIR_OWN = frozenset({"server_state", "restart_service", "step_running", "recovery_log", "protocol_log"})

EXECUTABLE = "powershell.exe"

#: What a step's id must look like to stand on a command line: nothing that PowerShell or cmd reads as more than text.
STEP_ID = re.compile(r"[0-9a-z][0-9a-z.-]{0,63}")

SALT = 16  #: random bytes before the password in its line: its hash is logged, and nobody may guess from it
INCOMPLETE = 3  #: the exit code when standard input did not arrive whole: nothing was run

#: The same for every call but for the marker. It reads stdin, and runs the script in it as a script block of that fixed
#: text. powershell.exe hands a redirected stdin to a -Command as `$input`, and reads it away from [Console]::In; where
#: it does not, [Console]::In still has it.
#: The password is a line of its own, so that no cmdlet is given it: PowerShell's module logging writes what cmdlets
#: are given into the event log (event 4103), and a transcript what any command is given. Methods of .NET it does not.
#: What did not arrive whole opens no session with half a password. The CryptoServiceProvider, since SHA256Managed is
#: refused where Windows is set to FIPS.
BOOTSTRAP = (
    "$null='exmedic-{step}';"
    "$ErrorActionPreference='Stop';"
    "$ProgressPreference='SilentlyContinue';"
    "try{{"
    "$lines=@(-split (@($input) -join ' '));"
    "if(-not $lines[0]){{$lines=@(-split ([Console]::In.ReadToEnd()))}};"
    "$utf8=[Text.Encoding]::UTF8;"
    "$secret=New-Object Security.SecureString;"
    "$call=ConvertFrom-Json ($utf8.GetString([Convert]::FromBase64String($lines[0])));"
    "if(-not $call.script){{exit 3}};"
    "$block=[ScriptBlock]::Create($utf8.GetString([Convert]::FromBase64String($call.script)));"
    "if($call.username){{"
    "$sha=New-Object Security.Cryptography.SHA256CryptoServiceProvider;"
    "$hash=[BitConverter]::ToString($sha.ComputeHash($utf8.GetBytes($lines[1]))).Replace('-','');"
    "if($hash -ne $call.secret_sha256){{exit 3}};"
    "$bytes=[Convert]::FromBase64String($lines[1]);"
    "$chars=$utf8.GetChars($bytes,16,$bytes.Length-16);"
    "foreach($char in $chars){{$secret.AppendChar($char)}};"
    "[Array]::Clear($chars,0,$chars.Length);"
    "[Array]::Clear($bytes,0,$bytes.Length);"
    "$lines[1]=''}}"
    "}}catch{{exit 3}};"
    "& $block $call $secret"
)


@dataclass(frozen=True, slots=True)
class Script:
    """A shipped script: the prelude and its own text, and the hash of both."""

    name: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Logon:
    """What a script logs on with for its second hop."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Launch:
    """One call as it travels: the program, its arguments, and what is written to its stdin."""

    executable: str
    arguments: tuple[str, ...]
    stdin: bytes = field(repr=False)  #: may hold a password


@cache
def load(name: str) -> Script:
    """The script of that name.

    Raises:
        KeyError: exmedic ships no such script.
    """
    if name not in NAMES:
        raise KeyError(name)
    folder = files("daemon.exchange") / "scripts"
    text = (folder / "_prelude.ps1").read_text("utf-8") + "\n" + (folder / f"{name}.ps1").read_text("utf-8")
    return Script(name, text, hashlib.sha256(text.encode()).hexdigest())


def arguments(step: str) -> tuple[str, ...]:
    """The arguments of powershell.exe for a step; together below the 8,191 characters that cmd allows.

    Raises:
        ValueError: the step's id is not fit for a command line.
    """
    if not STEP_ID.fullmatch(step):
        raise ValueError(f"{step!r} is not a step id: lower-case letters, digits, '.' and '-', at most 64")
    bootstrap = BOOTSTRAP.format(step=step)
    return ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-Command", f'"{bootstrap}"')


def stdin(name: str, step: str, args: Mapping[str, object], logon: Logon | None = None) -> bytes:
    """What a call writes to stdin: the line or two that `BOOTSTRAP` reads, each base64.

    A script that logs on to nobody is given no password.

    Raises:
        KeyError: exmedic ships no such script.
    """
    call: dict[str, object] = {
        "script": base64.b64encode(load(name).text.encode()).decode("ascii"),
        "name": name,
        "step": step,
        "args": dict(args),
    }
    if logon is None or name in ON_THEIR_OWN:
        return base64.b64encode(json.dumps(call).encode())
    second = base64.b64encode(secrets.token_bytes(SALT) + logon.password.encode())
    call |= {"username": logon.username, "secret_sha256": hashlib.sha256(second).hexdigest()}
    return base64.b64encode(json.dumps(call).encode()) + b"\n" + second


def launch(name: str, step: str, args: Mapping[str, object], logon: Logon | None = None) -> Launch:
    """A call of a shipped script, ready to travel.

    Raises:
        KeyError: exmedic ships no such script.
        ValueError: the step's id is not fit for a command line.
    """
    return Launch(EXECUTABLE, arguments(step), stdin(name, step, args, logon))
