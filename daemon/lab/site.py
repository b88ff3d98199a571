"""The configuration of a daemon that heals the lab: exmedic.toml, inventory.toml and the password file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.lab.clock import LabClock
from daemon.lab.organisation import Machine
from daemon.lab.security import Account

_CREDENTIAL = "lab"
_PASSWORD_FILE = "lab.password"  # noqa: S105 - a file name


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What the files are made from."""

    machines: Sequence[Machine]
    endpoints: Mapping[str, str]
    account: Account
    clock: LabClock
    broker_port: int


def write_site(directory: Path, plan: SitePlan) -> Path:
    """Write the three files; returns the path of exmedic.toml. Paths in it are relative to it."""
    directory.mkdir(parents=True, exist_ok=True)
    password = directory / _PASSWORD_FILE
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(plan.account.password + "\n")
    (directory / "inventory.toml").write_text(_inventory(plan), encoding="utf-8")
    settings = directory / "exmedic.toml"
    # All at once, and last: whoever waits for this file may start as soon as it is there.
    fresh = settings.with_name("exmedic.toml.new")
    fresh.write_text(_settings(plan), encoding="utf-8")
    fresh.replace(settings)
    return settings


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(value)


def _inventory(plan: SitePlan) -> str:
    parts = ["# The servers of the lab. Its ports change each time it is started.\n"]
    for machine in plan.machines:
        lines = [
            f"[servers.{_text(machine.name)}]",
            f"roles = {json.dumps(sorted(machine.roles))}",
            *([f"dag = {_text(machine.dag)}"] if machine.dag else []),
            f"site = {_text(machine.site)}",
            f"endpoint = {_text(plan.endpoints[machine.name])}",
            f"credential = {_text(_CREDENTIAL)}",
            'tags = ["lab"]',
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _settings(plan: SitePlan) -> str:
    return f"""# A daemon for the lab only: it acts on every server of it, on the lab's clock.
data = "data"
socket = "control.sock"
journal = "none"  # not there, so the audit trail of a lab goes to standard output
inventory = "inventory.toml"

[bus]
host = "127.0.0.1"
port = {plan.broker_port}

[credentials.{_CREDENTIAL}]
transport = "ntlm"
username = {_text(plan.account.username)}
password = {{ file = "{_PASSWORD_FILE}" }}
second_hop = "credential"

[safety]
auto_tags = ["lab"]
pause_file = "pause"

[shared_cause]  # in a lab several servers are made ill at once, each for itself
servers = 1000
share = 1.0
settling = 1.0

[lab]
epoch = {plan.clock.epoch.isoformat()}
speed = {float(plan.clock.speed)}
"""
