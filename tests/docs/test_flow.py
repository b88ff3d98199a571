"""docs/flow.md draws the layers of the contract, and follows an alert through them."""

import re
import tomllib

from tests.docs.markdown import ROOT, code

FLOW = ROOT / "docs" / "flow.md"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
Layers = list[set[str]]


def contract(container: str) -> Layers:
    """The layers of the contract for one package, from the top."""
    layers = next(found["layers"] for found in CONTRACTS if found.get("containers") == [container])
    return [set(layer.split(" | ")) for layer in layers]


def drawn(picture: str) -> tuple[Layers, Layers]:
    """What a picture shows, from the top: the rooms of each layer, and the floors of the room that has floors."""
    layers: dict[str, set[str]] = {}
    floors: Layers = []
    open_ones: list[str] = []
    order: list[str] = []
    for line in (line.strip() for line in picture.splitlines()):
        if found := re.match(r"subgraph (\w+)", line):
            if open_ones:
                layers[open_ones[0]].add(found[1])
            else:
                layers[found[1]] = set()
            open_ones.append(found[1])
        elif line == "end":
            open_ones.pop()
        elif not open_ones:
            order += re.findall(r"layer\d", line)
        elif len(open_ones) == 1:
            layers[open_ones[0]].add(line)
        else:
            floors = [{name} for name in line.split(" --> ")]
    return [layers[name] for name in order], floors


PICTURE = FLOW.read_text("utf-8").partition("```mermaid\nflowchart TB\n")[2].partition("```")[0]


def test_the_picture_has_the_layers_of_the_contract_and_the_floors_of_remediation() -> None:
    layers, floors = drawn(PICTURE)
    assert layers == contract("daemon")
    assert floors == contract("daemon.remediation")


def test_a_room_that_is_drawn_on_another_layer_would_be_noticed() -> None:
    moved = PICTURE.replace("        audit\n", "").replace("        exchange\n", "        exchange\n        audit\n")
    assert drawn(moved)[0] != contract("daemon")
    assert drawn(PICTURE.replace("runner --> guardrails", "guardrails --> runner"))[1] != contract("daemon.remediation")


def test_every_room_of_the_contract_is_a_folder_and_every_folder_is_told_of() -> None:
    rooms = set().union(*contract("daemon"))
    assert rooms == {path.parent.name for path in (ROOT / "daemon").glob("*/__init__.py")}
    names = {word for line in code(FLOW) for word in re.findall(r"[a-z]+", line)}
    assert rooms - names == set()


def test_the_way_of_an_alert_is_told_in_the_order_in_which_it_goes() -> None:
    headings = re.findall(r"^## \d+\. (.+)$", FLOW.read_text("utf-8"), re.MULTILINE)
    told = [folder for heading in headings for folder in re.findall(r"`([\w/]+)`", heading)]
    assert [folder for folder in told if not (ROOT / "daemon" / folder).is_dir() and folder != "statemachines"] == []
    assert list(dict.fromkeys(folder for folder in told if folder != "statemachines")) == [
        "adapters/mqtt",
        "alerts",
        "remediation/runner",
        "remediation/guardrails",
        "remediation/incidents",
        "remediation/actions",
        "exchange",
        "adapters/winrm",
        "outgoing",
        "audit",
    ]
