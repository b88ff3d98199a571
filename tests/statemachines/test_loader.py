"""Runbook files: what is refused, and where the message points."""

from pathlib import Path

import pytest

from statemachines.loader import RunbookError, load, load_runbooks, shipped_directory

GOOD = """\
runbook: good
title: t
source: s
handles:
  - {health_set: POP.Protocol, monitor: PopDeepTestMonitor, probe: PopDeepTestProbe, role: mailbox}
undo: {activation: unless_sick_after_reboot}
states:
  look: {do: verify, then: {healthy: resolved, unhealthy: restart}}
  restart: {do: restart_service, with: {service: MSExchangePOP3BE}, then: {done: again}}
  again: {do: verify, then: {healthy: resolved, unhealthy: reboot}}
  reboot: {use: safe_reboot, with: {service: MSExchangePOP3BE}, then: {done: last}}
  last: {do: verify, then: {healthy: resolved}}
"""


def mistakes(folder: Path, text: str) -> list[str]:
    (folder / "it.yaml").write_text(text)
    with pytest.raises(RunbookError) as caught:
        load_runbooks(shipped_directory() / "safe_reboot.yaml", folder / "it.yaml")
    return [f"{mistake.line}:{mistake.column}: {mistake.message}" for mistake in caught.value.mistakes]


def test_the_shipped_runbooks_load() -> None:
    names = {definition.runbook for definition in load_runbooks(shipped_directory())}
    assert names >= {"pop-mailbox", "pop-triage"}


def test_a_good_runbook_loads_with_the_files_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(GOOD)
    fragment = shipped_directory() / "safe_reboot.yaml"
    (loaded,) = load(fragment, tmp_path)
    assert loaded.definition.start == "look"
    assert loaded.definition.handled("pop.protocol", "POPDEEPTESTMONITOR") is not None
    assert loaded.files == (tmp_path / "it.yaml", fragment)


def test_all_mistakes_are_reported_at_once_each_with_line_column_and_suggestion(tmp_path: Path) -> None:
    text = (
        GOOD.replace("do: verify", "do: verfy", 1)
        .replace("done: again", "don: again")
        .replace("healthy: resolved, unhealthy: reboot", "healthy: solved, unhealthy: reboot")
        .replace("service: MSExchangePOP3BE", "service: MSExchangePOPBE", 1)
        .replace("monitor: PopDeepTestMonitor", "monitor: PopDepTestMonitor")
        .replace("undo: {activation", "undo: {activaton")
    )
    hint = "a name that you have seen on a live server takes `confirmed: true` beside it"
    found = mistakes(tmp_path, text)
    assert found == [
        f"5:41: [monitor] POP.Protocol has no monitor 'PopDepTestMonitor'; did you mean 'PopDeepTestMonitor'? ({hint})",
        "6:8: [undo] undo.activaton: no action changes activaton; did you mean 'activation'?",
        "8:14: [action] look: no action is called 'verfy'; did you mean 'verify'?",
        "9:75: [outcome] restart: restart_service has no outcome 'don'; did you mean 'done'?",
        "9:50: [service] restart: no service is called 'MSExchangePOPBE'; did you mean 'MSExchangePOP3BE'?",
        "10:39: [target] again: no state is called 'solved'; did you mean 'resolved'?",
        "6:1: [undo] reboot.move: stop_activation changes activation; say under `undo:` when it is put back",
    ]  # fmt: skip


def test_a_mistake_of_the_files_shape_points_at_the_key_or_the_value(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD.replace("handles:", "handels:")) == [
        "1:1: handles: is missing",
        "4:1: handels: there is no such key; did you mean 'handles'?",
    ]
    assert mistakes(tmp_path, GOOD.replace(": unless_sick_after_reboot", ": never"))[0].startswith("6:20: undo.activ")
    assert mistakes(tmp_path, GOOD.replace("role: mailbox", "role: postbox"))[0].startswith("5:92: handles.0.role")
    assert mistakes(tmp_path, GOOD.replace("done: again", "done: A")) == [
        "9:82: states.restart.then.done: is not of the form ^[a-z][a-z0-9_]{0,39}$"
    ]
    assert mistakes(tmp_path, "- a list\n")[0].endswith("file: is not a table of keys and values")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("unhealthy: reboot", "unhealthy: look"), "10:23: [cycle] look: a ladder has no cycles, but: look -> restart"),
        (("unhealthy: restart", "unhealthy: escalated"), "9:3: [unreached] restart: no state leads here"),
        (("undo: {activation: unless_sick_after_reboot}\n", ""), "say under `undo:` when it is put back"),
        (("done: again", "unknown: again"), "[unknown] restart: `unknown` cannot be given a next state"),
        (("with: {service: MSExchangePOP3BE}, then: {done: again}", "then: {done: again}"), "needs the parameter 'ser"),
        (("do: restart_service, with: {", "do: restart_service, with: {speed: 1, "), "has no parameter 'speed'"),
        (("{done: last}", "{don: last}"), "11:72: reboot: fragment safe_reboot has no exit 'don'; did"),
        (("use: safe_reboot", "use: safe_rebot"), "no fragment is called 'safe_rebot'; did you mean 'safe_reboot'?"),
        (("use: safe_reboot, with: {service: MSExchangePOP3BE}", "use: safe_reboot"), "fragment safe_reboot needs"),
        (("use: safe_reboot, ", "use: safe_reboot, within: 5m, "), "`within` is for an action, not for a fragment"),
        (("restart:", "confirm:"), "[name] confirm: the engine has a state of that name"),
        (("role: mailbox", "role: client_access"), "so the role client_access does not fit"),
        (("PopDeepTestProbe", "PopSelfTestProbe"), "of PopDeepTestMonitor of POP.Protocol is PopDeepTestProbe"),
        (("POP.Protocol", "POP.Protocl"), "no health set is called 'POP.Protocl'; did you mean 'POP.Protocol'?"),
        (("then: {done: again}", "within: 2m, then: {done: again}"), "needs 10 min to have a lost answer settled"),
        (("do: verify, then: {healthy: resolved}", "do: verify, within: 2d, then: {healthy: resolved}"), "most 24 h"),
        (
            ("last: {do: verify", "last: {do: watch_monitor, with: {minutes: 90}"),
            "[wait] last: can never see 90 minutes within 1 h",
        ),
        (("last: {do: verify", "last: {do: watch_monitor, with: {minutes: ten}"), "minutes is a number above 0"),
    ],
)  # fmt: skip
def test_a_runbook_that_cannot_be_right_is_refused(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in GOOD
    text = GOOD.replace(*change)
    if change[0] == "restart:":
        text = text.replace("unhealthy: restart", "unhealthy: confirm")
    found = mistakes(tmp_path, text)
    assert any(expected in message for message in found), found


def test_a_parameter_must_come_from_the_state_that_produces_it_and_be_of_its_kind(tmp_path: Path) -> None:
    traces = (
        GOOD.replace("PopDeepTestMonitor", "PopCTPMonitor").replace("PopDeepTestProbe", "PopCTPProbe")
        .replace("POP.Protocol", "POP").replace(", role: mailbox", "").replace("POP3BE", "POP3")
        .replace("unhealthy: reboot", "unhealthy: trace")
        + "  trace: {do: find_backends, then: {found: ask, none: escalated}}\n"
        + "  ask: {do: check_pop, with: {servers: $trace.servers}, then: {healthy: reboot}}\n"
    )  # fmt: skip
    (tmp_path / "it.yaml").write_text(traces)
    load_runbooks(shipped_directory() / "safe_reboot.yaml", tmp_path)
    for wrong, expected in [
        ("$trase.servers", "14:40: [field] ask: $trase.servers: no state is called 'trase'; did you mean 'trace'?"),
        ("$trace.server", "find_backends produces no field 'server', but servers; did you mean 'servers'?"),
        ("$restart.pid", "$restart.pid: servers cannot be pid"),
        ("mbx1", "servers is what an earlier state found: write $STATE.servers, not 'mbx1'"),
    ]:
        found = mistakes(tmp_path, traces.replace("$trace.servers", wrong))
        assert any(expected in message for message in found), found
    unproduced = traces.replace("none: escalated", "none: ask")
    found = mistakes(tmp_path, unproduced)
    assert len(found) == 1
    assert "[field] ask: servers is $trace.servers, which is not produced on this path" in found[0]
    assert "trace: none" in found[0]


def test_a_mistake_inside_a_fragment_is_told_in_the_fragments_file(tmp_path: Path) -> None:
    fragment = (shipped_directory() / "safe_reboot.yaml").read_text()
    (tmp_path / "own.yaml").write_text(fragment.replace("{moved: reboot}", "{moved: reboot, stuck: reboot}"))
    (tmp_path / "it.yaml").write_text(GOOD)
    with pytest.raises(RunbookError) as caught:
        load_runbooks(tmp_path)
    assert {mistake.file for mistake in caught.value.mistakes} == {tmp_path / "own.yaml"}
    assert any("as good uses it: [active-copy] reboot.reboot" in one.message for one in caught.value.mistakes)
    (tmp_path / "own.yaml").write_text(
        fragment.replace("{moved: reboot}", "{moved: rebot}").replace("$service", "$srv")
    )
    with pytest.raises(RunbookError) as caught:
        load_runbooks(tmp_path)
    told = "\n".join(mistake.message for mistake in caught.value.mistakes)
    assert "no state or exit is called 'rebot'; did you mean 'reboot'?" in told
    assert "the fragment has no parameter 'srv'" in told


def test_a_wrong_parameter_of_a_fragment_is_told_where_it_was_given(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, GOOD.replace("reboot, with: {service: MSExchangePOP3BE}", "reboot, with: {service: Pop}")
    )
    assert found
    assert all(message.startswith("11:46: ") for message in found), found


def test_a_duplicate_key_and_broken_yaml_are_refused_with_their_line_and_column(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD + "runbook: again\n")[0].startswith("13:1: not YAML")
    assert mistakes(tmp_path, "runbook: [\n")[0].startswith("2:1: not YAML")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no such file or directory of runbooks"):
        load(tmp_path / "nowhere")
    (tmp_path / "it.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunbookError, match=r"it\.yaml: cannot be read|not YAML"):
        load(tmp_path)


def test_names_that_somebody_has_seen_on_a_live_server_are_taken_as_confirmed(tmp_path: Path) -> None:
    other = GOOD.replace("monitor: PopDeepTestMonitor", "monitor: PopTestDeepMonitor, confirmed: true")
    (tmp_path / "it.yaml").write_text(other)
    (definition,) = load_runbooks(shipped_directory() / "safe_reboot.yaml", tmp_path)
    assert definition.handled("POP.Protocol", "PopTestDeepMonitor") is not None


# Overriding


def overridden(folder: Path, own: str) -> str:
    """What is wrong with a site's own runbook beside the shipped `good`, which handles two monitors."""
    shipped, site = folder / "shipped", folder / "site"
    for place in (shipped, site):
        place.mkdir(exist_ok=True)
    (shipped / "f.yaml").write_text((shipped_directory() / "safe_reboot.yaml").read_text())
    entry = "  - {health_set: POP.Protocol, monitor: PopSelfTestMonitor, probe: PopSelfTestProbe, role: mailbox}\n"
    (shipped / "good.yaml").write_text(GOOD.replace("undo:", f"{entry}undo:"))
    (site / "own.yaml").write_text(own.replace("undo:", f"{entry}undo:") if "one: true" not in own else own)
    try:
        return ", ".join(f"{one.runbook}: {one.title}" for one in load_runbooks(shipped, site))
    except RunbookError as error:
        return "\n".join(mistake.message.replace(str(folder), "") for mistake in error.mistakes)


def test_a_sites_own_runbook_takes_the_place_of_a_shipped_one_only_if_it_says_so(tmp_path: Path) -> None:
    own = GOOD.replace("title: t", "title: the site's own")
    clash = overridden(tmp_path, own)
    assert "good is already defined in /shipped/good.yaml; to take its place, say `overrides: good`" in clash
    other = overridden(tmp_path, own.replace("runbook: good", "runbook: site-good"))
    taken = "already handled in /shipped/good.yaml, and a server may have both roles; to take its place, say `overrides"
    assert f"PopDeepTestMonitor of POP.Protocol is {taken}" in other
    says = own.replace("title:", "overrides: good\ntitle:")
    assert overridden(tmp_path, says) == "good: the site's own"
    assert overridden(tmp_path, says.replace("runbook: good", "runbook: site-good")) == "site-good: the site's own"


def test_what_is_overridden_must_be_there_once_and_all_it_handled_must_still_be_handled(tmp_path: Path) -> None:
    says = GOOD.replace("title:", "overrides: good\ntitle:")
    wrong = overridden(tmp_path, says.replace("overrides: good", "overrides: godo"))
    assert "there is no shipped runbook 'godo'; did you mean 'good'?" in wrong
    (tmp_path / "site" / "zwei.yaml").write_text(says.replace("runbook: good", "runbook: zwei"))
    assert "good is already overridden in /site/own.yaml" in overridden(tmp_path, says)
    (tmp_path / "site" / "zwei.yaml").unlink()
    lost = overridden(tmp_path, says + "# one: true\n")
    assert lost == (
        "good also handles PopSelfTestMonitor of POP.Protocol, which would then only go to a human: handle it too"
    )


def test_a_fragment_is_never_overridden_silently(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text((shipped_directory() / "safe_reboot.yaml").read_text())
    with pytest.raises(RunbookError, match=r"safe_reboot is already defined in .*; choose another name"):
        load(shipped_directory(), tmp_path)


def test_two_runbooks_for_one_monitor_are_refused_naming_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("runbook: good", "runbook: other"))
    with pytest.raises(RunbookError, match=r"b\.yaml:5:5: PopDeepTestMonitor .* is already handled in .*a\.yaml"):
        load_runbooks(shipped_directory() / "safe_reboot.yaml", tmp_path)
