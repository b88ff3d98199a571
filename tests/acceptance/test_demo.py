"""`exmedic demo`, as a user runs it, and its comparison of the lab's record with the audit trail."""

import json
from pathlib import Path

from daemon.app.offline import reading
from daemon.cli.demo import agree
from daemon.config.settings import load_settings
from daemon.domain.incidents import Step
from tests.acceptance.site import command

SPEED = "60"  #: as without the option


async def test_it_heals_two_servers_escalates_one_and_shows_that_lab_and_audit_trail_agree(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    code, text = command("demo", "--directory", str(directory), "--speed", SPEED)
    words = " ".join(text.split())
    assert code == 0, text
    assert words.count("as it must be") == 3
    assert "the lab's own record and the audit trail agree: " in words
    assert "audit trail: good" in words
    assert str(directory) in "".join(text.split()), "it says where it keeps its data"

    config = directory / "exmedic.toml"
    for look in (("incidents",), ("audit", "verify")):
        code, text = command(*look, "--config", str(config))
        assert code == 0, text
    code, text = command("demo", "--directory", str(directory))
    assert code == 1
    assert "holds a demo already" in " ".join(text.split())
    assert "Traceback" not in text

    effects = [json.loads(line) for line in record(directory)]
    steps = await all_steps(config)
    assert agree(effects, steps)
    stranger = {"step": "stranger-01", "effect": "restart", "server": "cas1.contoso.lab"}
    assert not agree([*effects, stranger], steps), "done, and in no audit trail"
    assert not agree([*effects, effects[-1]], steps), "done twice"
    assert not agree(effects[:-1], steps), "in the audit trail, and never done"


def record(directory: Path) -> list[str]:
    """The lab's record, as it left it on the disk."""
    return (directory / "effects.jsonl").read_text("utf-8").splitlines()


async def all_steps(config: Path) -> list[Step]:
    async with reading(load_settings(config)) as store:
        return [step for incident in await store.incidents() for step in await store.steps(incident.id)]
