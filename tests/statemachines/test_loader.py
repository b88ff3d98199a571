"""Runbook files: what is refused, and where the message points."""

from pathlib import Path

import pytest

from statemachines.loader import RunbookError, load_runbooks, shipped_directory

GOOD = """\
runbook: good
title: t
source: s
handles:
  - {health_set: POP, monitor: SomeMonitor, probe: SomeProbe}
undo: {activation: always}
states:
  look: {do: verify, then: {healthy: resolved, unhealthy: move}}
  move: {do: stop_activation, with: {service: MSExchangePOP3BE}, then: {done: moved}}
  moved: {do: check_moved, with: {databases: $move.databases}, then: {moved: resolved}}
"""


def mistakes(folder: Path, text: str) -> list[str]:
    (folder / "it.yaml").write_text(text)
    with pytest.raises(RunbookError) as caught:
        load_runbooks(folder)
    return [f"{mistake.line}: {mistake.message}" for mistake in caught.value.mistakes]


def test_the_shipped_runbooks_load() -> None:
    names = {definition.runbook for definition in load_runbooks(shipped_directory())}
    assert names >= {"pop-mailbox", "pop-triage"}


def test_a_good_runbook_loads(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(GOOD)
    (definition,) = load_runbooks(tmp_path)
    assert definition.start == "look"
    assert definition.handled("pop", "SOMEMONITOR") is not None


def test_all_mistakes_are_reported_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = (
        GOOD.replace("do: verify", "do: verfy")
        .replace("done: moved", "don: moved")
        .replace("moved: resolved}}", "moved: solved}}")
        .replace("undo: {activation: always}\n", "undo: {activation: never}\n")
    )
    found = mistakes(tmp_path, text)
    assert any(line.startswith("6: undo.activation") for line in found), found
    assert mistakes(tmp_path, GOOD.replace("moved: resolved}}", "moved: solved}}")) == [
        "10: states.moved: no state is called 'solved'; did you mean 'resolved'?"
    ]
    found = mistakes(tmp_path, GOOD.replace("do: verify", "do: verfy").replace("done: moved", "don: moved"))
    assert "8: states.look: no action is called 'verfy'; did you mean 'verify'?" in found
    assert "9: states.move: stop_activation has no outcome 'don'; did you mean 'done'?" in found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("unhealthy: move", "unhealthy: look"), "a ladder has no cycles"),
        (("unhealthy: move", "unhealthy: escalated"), "no state leads here"),
        (("$move.databases", "$move.database"), "produces no field 'database'"),
        (("undo: {activation: always}\n", ""), "say under `undo:` when it is put back"),
        (("done: moved", "unknown: moved"), "`unknown` cannot be given a next state"),
        (("with: {databases: $move.databases}, ", ""), "takes the parameters ['databases'], got []"),
        (("handles:", "handels:"), "did you mean 'handles'?"),
    ],
)  # fmt: skip
def test_a_runbook_that_cannot_be_right_is_refused(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in GOOD
    found = mistakes(tmp_path, GOOD.replace(*change))
    assert any(expected in message for message in found), found


def test_a_parameter_must_be_produced_on_every_way_to_it(tmp_path: Path) -> None:
    text = GOOD.replace("unhealthy: move}}", "unhealthy: move, undecided: moved}}")
    found = mistakes(tmp_path, text)
    assert any("is not produced on the way look -> moved" in message for message in found), found


def test_a_duplicate_key_and_broken_yaml_are_refused_with_their_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD + "runbook: again\n")[0].startswith("11: not YAML")
    assert mistakes(tmp_path, "runbook: [\n")[0].split(":")[1].strip() == "not YAML"


def test_two_runbooks_for_one_monitor_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("runbook: good", "runbook: other"))
    with pytest.raises(RunbookError, match=r"SomeMonitor is already handled in .*a\.yaml"):
        load_runbooks(tmp_path)


def test_a_fragment_must_be_used_with_its_parameters_and_exits(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text((shipped_directory() / "safe_reboot.yaml").read_text())
    using = GOOD.replace("moved: resolved}}", "moved: reboot}}\n  reboot: {use: safe_reboot, then: {don: resolved}}")
    found = mistakes(tmp_path, using)
    assert any("takes the parameters ['service'], got []" in message for message in found), found
    assert any("has no exit 'don'; did you mean 'done'?" in message for message in found), found


PARKS = """\
runbook: parks
title: t
source: s
handles:
  - {health_set: POP, monitor: SomeMonitor}
undo: {activation: always}
states:
  look: {do: triage, then: {unhealthy: move}}
  move: {do: stop_activation, with: {service: MSExchangePOP3BE}, then: {done: back}}
  back: {do: undo, then: {done: wait}}
  wait: {do: heal, with: {sick: $look.sick}, then: {healed: resolved}}
"""


def test_a_ladder_may_put_back_what_it_changed_and_must_before_it_waits_for_another(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(PARKS)
    (definition,) = load_runbooks(tmp_path)
    assert definition.states["back"].do == "undo"
    without = PARKS.replace("done: back", "done: wait").replace("  back: {do: undo, then: {done: wait}}\n", "")
    assert mistakes(tmp_path, without) == [
        "10: states.wait: waits with what move changed; put a state with `do: undo` before it"
    ]
    looping = PARKS.replace("{done: wait}}", "{done: wait, more: wait}}")
    assert any("`more` cannot be given a next state" in line for line in mistakes(tmp_path, looping))
