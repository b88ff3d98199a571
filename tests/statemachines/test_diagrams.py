import itertools
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from statemachines.actions import ACTIONS
from statemachines.diagrams import arrows, mermaid, rows, summary, svg
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import ENDS, Definition, Handled, State

ROOT = Path(__file__).parents[2]
DIAGRAMS = ROOT / "docs" / "diagrams"
SHIPPED = load_runbooks(shipped_directory())
BY_NAME = pytest.mark.parametrize("definition", SHIPPED, ids=lambda definition: definition.runbook)
SVG = "{http://www.w3.org/2000/svg}"


def ladder(**states: State) -> Definition:
    return Definition(
        runbook="small",
        title="A & <B>",
        source="nowhere",
        handles=[Handled(health_set="POP", monitor="M")],
        undo={},
        start=next(iter(states)),
        states=states,
    )


def verify(**then: str) -> State:
    return State(do="verify", params={}, then=then)


def test_the_diagrams_in_docs_are_those_of_the_shipped_runbooks() -> None:
    wanted = {f"{one.runbook}.mmd": mermaid(one) for one in SHIPPED} | {
        f"{one.runbook}.svg": svg(one) for one in SHIPPED
    }
    there = {file.name: file.read_text("utf-8") for file in DIAGRAMS.iterdir()}
    assert there == wanted, "run `exmedic runbooks diagram --write docs/diagrams`"


@BY_NAME
def test_every_state_and_every_named_outcome_is_drawn(definition: Definition) -> None:
    drawn = {(arrow.source, outcome, arrow.target) for arrow in arrows(definition) for outcome in arrow.outcomes}
    named = {(name, *pair) for name, state in definition.states.items() for pair in state.then.items()}
    assert named <= drawn
    for name, state in definition.states.items():
        known = {outcome for source, outcome, _ in drawn if source == name}
        left_to_the_engine = {"more", "nothing"} if state.do == "undo" else set()
        assert set(ACTIONS[state.do].outcomes) - left_to_the_engine <= known
    assert sorted(rows(definition)) == sorted(definition.states)


@BY_NAME
def test_every_arrow_leads_down(definition: Definition) -> None:
    order = rows(definition)
    for arrow in arrows(definition):
        if arrow.target not in ENDS:
            assert order.index(arrow.source) < order.index(arrow.target)


@BY_NAME
def test_an_svg_is_well_formed_and_its_text_is_text_within_the_page(definition: Definition) -> None:
    root = ET.fromstring(svg(definition))  # noqa: S314 - our own text
    words = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert set(definition.states) <= set(words)
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < float(root.attrib["width"])
        assert 0 < float(text.attrib["y"]) < float(root.attrib["height"])
    assert "prefers-color-scheme: dark" in svg(definition)


@BY_NAME
def test_no_two_boxes_of_an_svg_overlap(definition: Definition) -> None:
    root = ET.fromstring(svg(definition))  # noqa: S314 - our own text
    boxes = [rect for rect in root.iter(f"{SVG}rect") if rect.attrib["class"].startswith("box")]
    places = sorted((float(box.attrib["y"]), float(box.attrib["height"])) for box in boxes)
    assert len(places) == len(definition.states)
    for (top, height), (below, _) in itertools.pairwise(places):
        assert top + height < below


def test_two_long_arrows_over_the_same_rows_take_two_lanes() -> None:
    small = ladder(
        a=verify(healthy="b", unhealthy="c", undecided="d"),
        b=verify(healthy="c"),
        c=verify(healthy="d"),
        d=verify(healthy="resolved"),
    )
    turns = re.findall(r'd="M\d+ \d+H\d+Q(\d+) ', svg(small))
    assert len(turns) == 2
    assert len(set(turns)) == 2


def test_what_has_a_meaning_in_xml_or_mermaid_is_escaped() -> None:
    small = ladder(end=verify(healthy="resolved", unhealthy="note"), note=verify(healthy="resolved"))
    ET.fromstring(svg(small))  # noqa: S314 - our own text
    assert "A &amp; &lt;B&gt;" in svg(small)
    assert not re.search(r"^ +(end|note) -->", mermaid(small), re.MULTILINE)


def test_a_parameter_from_an_earlier_state_is_told_by_that_states_name() -> None:
    state = State(do="restart_service", params={"service": "$found.name"}, then={})
    assert summary(state) == "restart the Windows service the name of found"


def test_the_readme_shows_one_diagram_that_exists() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    shown = text.partition("<!-- runbook diagram -->")[2].partition("<!-- /runbook diagram -->")[0]
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", shown)
    assert len(images) == 1
    assert (ROOT / images[0]).is_file()


def test_runbooks_are_listed_shown_and_drawn_by_command(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["runbooks", "list"])
    assert listed.exit_code == 0
    assert all(one.runbook in listed.output for one in SHIPPED)
    shown = CliRunner().invoke(app, ["runbooks", "show", "pop-mailbox"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in SHIPPED[1].states)
    assert max(len(line) for line in shown.output.splitlines() if line.startswith(("state", "reboot"))) <= 80
    drawn = CliRunner().invoke(app, ["runbooks", "diagram", "pop-cas"])
    assert drawn.output == mermaid(SHIPPED[0])
    written = CliRunner().invoke(app, ["runbooks", "diagram", "pop-mailbox", "--write", str(tmp_path / "new")])
    assert written.exit_code == 0
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["pop-mailbox.mmd", "pop-mailbox.svg"]


def test_a_misspelt_runbook_is_told_with_what_there_is() -> None:
    result = CliRunner().invoke(app, ["runbooks", "show", "pop-mailbx"])
    assert "did you mean 'pop-mailbox'" in str(result.exception)


def test_diagrams_that_cannot_be_written_are_told_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = CliRunner().invoke(app, ["runbooks", "diagram", "--write", str(tmp_path / "taken")])
    assert "cannot write to" in str(result.exception)


def test_a_sites_own_runbooks_are_listed_too_and_their_mistakes_told(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    text = (shipped_directory() / "pop-proxy.yaml").read_text("utf-8")
    other = text.replace("pop-proxy", "site-imap").replace("POP.Proxy, monitor: PopProxy", "IMAP, monitor: Imap")
    (own / "site-imap.yaml").write_text(other)
    config = tmp_path / "exmedic.toml"
    config.write_text(f'runbooks = "{own}"\n[bus]\nhost = "localhost"\n')
    listed = CliRunner().invoke(app, ["runbooks", "list", "--config", str(config)])
    assert "site-imap" in listed.output
    (own / "site-imap.yaml").write_text(other.replace("restart_service", "restart_servce"))
    assert CliRunner().invoke(app, ["runbooks", "list", "--config", str(config)]).exit_code == 2
