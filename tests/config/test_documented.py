"""docs/configuration.md says of every setting what it is, and nothing of any that does not exist."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from daemon.config import alerts, guardrails, inventory, roles, windows
from daemon.config.retention import Retention
from daemon.config.settings import (
    BusSettings,
    BusTls,
    Credential,
    LabClock,
    NotifySettings,
    Secret,
    Settings,
    WinrmSettings,
)
from daemon.domain.verdicts import Mode
from daemon.remediation.guardrails.modes import modes_of
from tests.config.site import Site

TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")

SECTIONS: dict[str, type[BaseModel]] = {
    "## Top level": Settings,
    "## Secrets": Secret,
    "## `[bus]`": BusSettings,
    "### `[bus.tls]`": BusTls,
    "## `[alerts]`": alerts.AlertSettings,
    "## `[credentials.NAME]`": Credential,
    "## `[winrm]`": WinrmSettings,
    "## `[safety]`": guardrails.Safety,
    "### `[[safety.modes]]`": guardrails.ModeRule,
    "## `[timing]`": guardrails.Timing,
    "## `[budgets]`": guardrails.Budgets,
    "## `[storms]`": guardrails.Storms,
    "## `[shared_cause]`": guardrails.SharedCause,
    "## `[dependencies]`": guardrails.Dependencies,
    "## `[[windows]]`": windows.WindowSettings,
    "## `[retention]`": Retention,
    "## `[notify]`": NotifySettings,
    "## `[roles]`": roles.Roles,
    "## `[lab]`": LabClock,
    '## The inventory: `[servers."NAME"]`': inventory._Entry,  # noqa: SLF001 - the shape of a row is documented
}
TABLES = {
    "bus",
    "alerts",
    "retention",
    "credentials",
    "winrm",
    "safety",
    "timing",
    "budgets",
    "storms",
    "shared_cause",
    "dependencies",
    "windows",
    "notify",
    "roles",
    "lab",
}


def _documented(heading: str) -> dict[str, str]:
    section = re.split(r"^#+ ", TEXT.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (\w+) \| (.+?) \| (.{10,}) \|$", section, re.MULTILINE)
    return {name: default for name, default, _ in rows if name != "Field"}


def _as_toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple | frozenset) else str(value)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_documented_with_its_default(heading: str) -> None:
    fields = {
        field.alias or name: "required" if field.is_required() else _as_toml(field.default)
        for name, field in SECTIONS[heading].model_fields.items()
        if not (SECTIONS[heading] is Settings and name in TABLES)
    }
    assert _documented(heading) == fields


def test_every_section_is_documented() -> None:
    headings = re.findall(r"^#+ `\[+(\w+)", TEXT, re.MULTILINE)
    assert set(headings) == TABLES


def test_the_example_is_a_site_without_mistakes(site: Site) -> None:
    settings, inventory_toml = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    site.write(settings=settings, inventory=inventory_toml)
    assert site.mistakes() == []


def test_the_example_only_observes(site: Site) -> None:
    """Whoever copies it and starts the daemon has it do nothing yet."""
    settings, inventory_toml = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    site.write(settings=settings, inventory=inventory_toml)
    loaded, servers = inventory.load_site(site.settings)
    assert {mode for server in servers for mode in modes_of(server, loaded.safety).values()} == {Mode.OBSERVE}
