"""`exmedic runbooks check`, `explain` and `schema`, as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.app.service import run_daemon
from daemon.cli import app
from daemon.config.guardrails import Budgets, Timing
from daemon.domain.errors import ConfigError
from daemon.reports.explanation import ASKED, explain, wrapped
from statemachines.actions import ACTIONS, COMMON_OUTCOMES, Effect
from statemachines.checker import CEILINGS, bounds
from statemachines.checker.facts import CHANGED_BY
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.schema import schema, schema_text

ROOT = Path(__file__).parents[2]
DANGEROUS = Path(__file__).parent / "dangerous"
SHIPPED = load_runbooks(shipped_directory())


@pytest.fixture
def site(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration and its directory of runbooks."""
    own = tmp_path / "own"
    own.mkdir()
    config = tmp_path / "exmedic.toml"
    config.write_text(f'data = "data"\nrunbooks = "{own}"\n[bus]\nhost = "localhost"\n')
    return config, own


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["runbooks", *words])
    return result.exit_code, result.output if result.exit_code in (0, 2) else str(result.exception)


# check


def test_check_proves_every_runbook_and_states_how_much_each_may_do() -> None:
    code, said = run("check")
    assert code == 0
    assert said.splitlines() == [f"proven {one.runbook}: {bounds(one)}" for one in SHIPPED]


def test_check_of_a_file_proves_it_and_of_a_fragment_what_uses_it() -> None:
    code, said = run("check", str(shipped_directory() / "pop-mailbox.yaml"))
    assert (code, said.split(":")[0]) == (0, "proven pop-mailbox")
    code, said = run("check", str(shipped_directory() / "safe_reboot.yaml"))
    assert [line.split(":")[0] for line in said.splitlines()] == [
        f"proven {one}" for one in ("pop-cas", "pop-mailbox", "pop-processing-time", "pop-proxy")
    ]


def test_check_of_a_file_that_is_not_in_use_yet_shows_the_path_and_exits_with_2() -> None:
    code, said = run("check", str(DANGEROUS / "believes-the-move.yaml"))
    assert code == 2
    assert "believes-the-move.yaml:11:16: [active-copy] reboot: would reboot a server that may hold an active" in said
    assert "      move: done          activation is blocked, databases are moving away" in said


def test_check_of_a_fragment_that_nothing_uses_says_that_nothing_was_proven(tmp_path: Path) -> None:
    fragment = (shipped_directory() / "safe_reboot.yaml").read_text("utf-8")
    (tmp_path / "other.yaml").write_text(fragment.replace("fragment: safe_reboot", "fragment: other"))
    code, said = run("check", str(tmp_path / "other.yaml"))
    assert code == 1
    assert "so nothing was proven" in said


def test_a_sites_runbook_is_checked_beside_the_shipped_ones(site: tuple[Path, Path]) -> None:
    config, own = site
    text = (shipped_directory() / "pop-proxy.yaml").read_text("utf-8")
    (own / "mine.yaml").write_text(text.replace("title:", "overrides: pop-proxy\ntitle:"))
    code, said = run("check", "--config", str(config), str(own / "mine.yaml"))
    assert (code, said.split(":")[0]) == (0, "proven pop-proxy")
    (own / "mine.yaml").write_text(text)
    code, said = run("check", "--config", str(config))
    assert code == 2
    assert "to take its place, say `overrides: pop-proxy`" in said


@pytest.mark.parametrize(
    ("budgets", "told"),
    [
        (
            "restarts_a_day_server = 1",
            "restart_logging: restart_service comes 2 times on one path; a ladder may do it once",
        ),
        ("reboots_a_day_site = 0", "reboot.reboot: reboot comes once on one path; a ladder may do it never"),
    ],
)
def test_runbooks_are_proven_against_the_budgets_of_a_site_that_lowers_them(
    site: tuple[Path, Path], budgets: str, told: str
) -> None:
    config, _ = site
    config.write_text(f"{config.read_text('utf-8')}[budgets]\n{budgets}\n", "utf-8")
    code, said = run("check", "--config", str(config))
    assert code == 0, "the budget refuses it at its time: no reason not to start"
    assert f"budgets: pop-cas: {told} by [budgets], so there it is refused and escalates\n" in said
    assert "pop-monitor" not in [line.split(": ")[1] for line in said.splitlines() if line.startswith("budgets: ")]


def test_budgets_that_were_raised_let_no_ladder_do_more(site: tuple[Path, Path]) -> None:
    config, _ = site
    config.write_text(f"{config.read_text('utf-8')}[budgets]\nreboots_in_12_hours_server = 5\n", "utf-8")
    assert "budgets:" not in run("check", "--config", str(config))[1]
    assert Budgets(reboots_in_12_hours_server=5).of_a_ladder() == Budgets().of_a_ladder() == CEILINGS


async def test_the_daemon_refuses_to_start_on_a_dangerous_runbook_and_names_the_path(site: tuple[Path, Path]) -> None:
    config, own = site
    (own / "bad.yaml").write_text((DANGEROUS / "reboots-without-a-move.yaml").read_text("utf-8"))
    with config.open("a") as file:
        file.write('[credentials.here]\ntransport = "kerberos"\nusername = "me@LAB"\nsecond_hop = "delegated"\n')
    (config.parent / "inventory.toml").write_text(
        '[servers."mbx1.contoso.lab"]\nroles = ["mailbox"]\nsite = "Lyon"\ncredential = "here"\n'
        'endpoint = "https://127.0.0.1:5986/wsman"\n'
    )
    with pytest.raises(ConfigError, match=r"\[active-copy\] (?s:.*)reprobe: unhealthy +the problem is there"):
        await run_daemon(config)
    assert not (config.parent / "data").exists()


# explain


def test_every_monitor_that_is_handled_can_be_explained_and_every_line_fits() -> None:
    for one in SHIPPED:
        for entry in one.handles:
            lines = list(wrapped(explain(one, entry, Timing()), 72))
            assert max(len(line) for line in lines) <= 72
            told = "\n".join(lines)
            assert all(f"[{name}" in " ".join(told.split()) for name in one.states)
            assert ("changes nothing itself" in told) == (bounds(one).effects == 0)


def test_explain_breaks_no_sentence_in_two() -> None:
    for one in SHIPPED:
        for entry in one.handles:
            told = [text for depth, text in explain(one, entry, Timing()) if depth == 1]
            assert [text for text in told if not text.endswith((".", ":", "]"))] == []


def test_explain_says_what_a_change_board_asks() -> None:
    code, said = run("explain", "popdeeptestmonitor")
    words = " ".join(said.split())
    assert code == 0
    for told in (
        "The probe PopDeepTestProbe is rerun",
        "2. RESTART: restart the Windows service MSExchangePOP3BE.",
        "5. MOVE: stop activation on the server",
        "7. REBOOT: reboot the server.",
        "every database active on the server has another copy that could take it over now",
        "except on a server that was rebooted and not found healthy since",
        "At most 1 restart, 1 move, 1 reboot; at most 5 h 20 min at work",
        "Each of the up to 3 changes may have to wait for its preconditions, for at most 8 h",
    ):
        assert told in words, told
    assert "no Mailbox role" not in words  # such a ladder never comes to a server without it


def test_explain_takes_a_health_set_for_alerts_that_name_no_monitor_and_suggests_what_there_is() -> None:
    assert "It changes nothing itself." in run("explain", "POP")[1]
    code, said = run("explain", "PopDepTestMonitor")
    assert code == 1
    assert "did you mean 'PopDeepTestMonitor'?; its alerts go to a human, and nothing is tried" in said


def test_every_effect_and_every_setting_has_its_words() -> None:
    effects = {name for name, spec in ACTIONS.items() if spec.effect is not Effect.READ and not spec.only_undoes}
    assert set(ASKED) == effects
    for setting in CHANGED_BY:
        changing = [one for one in SHIPPED if setting in one.undo]
        assert any(
            f"  {setting}: " in "\n".join(wrapped(explain(one, one.handles[0], Timing()), 100)) for one in changing
        )


# schema


def test_the_published_schema_is_current() -> None:
    published = (ROOT / "docs" / "runbook.schema.json").read_text("utf-8")
    assert published == schema_text(), "run `exmedic runbooks schema > docs/runbook.schema.json`"
    assert run("schema") == (0, published)


def test_the_schema_names_every_action_with_its_parameters_and_the_outcomes_that_may_have_a_next_state() -> None:
    state = schema()["$defs"]["StateModel"]
    assert [one["const"] for one in state["properties"]["do"]["oneOf"]] == list(ACTIONS)
    for spec, rule in zip(ACTIONS.values(), state["allOf"], strict=True):
        assert rule["if"]["properties"]["do"]["const"] == spec.name
        given = rule["then"]["properties"]
        assert set(given["with"]["properties"]) == set(spec.params)
        assert set(given["then"]["properties"]) <= {*spec.outcomes, *COMMON_OUTCOMES} - {"unknown"}
        assert set(spec.goes_on) <= set(given["then"]["properties"])


def test_the_schema_refers_only_to_what_it_defines() -> None:
    text = json.dumps(schema())
    defined = schema()["$defs"]
    references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(defined)
    assert {"RunbookFile", "FragmentFile"} <= references
