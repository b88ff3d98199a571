"""A small site on disk for tests, to be spoilt one way or another."""

from dataclasses import dataclass
from pathlib import Path

from daemon.config.inventory import check_site
from statemachines.mistake import Mistake

SETTINGS = """\
data = "state"

[bus]
host = "127.0.0.1"

[credentials.exchange]
username = "exmedic"
password = { file = "password" }

[safety]
auto_tags = ["ring1"]
"""

INVENTORY = """\
[servers."mbx1.contoso.com"]
roles = ["mailbox"]
dag = "DAG1"
site = "Lyon"
endpoint = "http://mbx1.contoso.com:5985/wsman"
credential = "exchange"
tags = ["ring1"]

[servers."mbx2.contoso.com"]
roles = ["mailbox", "client_access"]
dag = "DAG1"
site = "Lyon"
endpoint = "http://mbx2.contoso.com:5985/wsman"
credential = "exchange"
"""


@dataclass(frozen=True)
class Site:
    """The two files and the password beside them."""

    directory: Path

    @property
    def settings(self) -> Path:
        return self.directory / "exmedic.toml"

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.toml"

    @property
    def password(self) -> Path:
        return self.directory / "password"

    def write(self, settings: str = SETTINGS, inventory: str = INVENTORY) -> None:
        self.settings.write_text(settings, "utf-8")
        self.inventory.write_text(inventory, "utf-8")
        self.password.write_text("hunter2\n", "utf-8")
        self.password.chmod(0o600)

    def mistakes(self) -> list[tuple[str, int, str]]:
        """What `check_site` finds: file name, line, message."""
        return [_row(mistake) for mistake in check_site(self.settings)]


def _row(mistake: Mistake) -> tuple[str, int, str]:
    return mistake.file.name, mistake.line, mistake.message
