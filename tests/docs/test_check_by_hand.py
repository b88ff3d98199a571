"""The page of PowerShell to run by hand: it only reads, and each unconfirmed fact of the doctor has its line."""

import inspect
import re
from collections.abc import Iterator

import pytest
import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

from daemon.doctor import unconfirmed
from tests.docs.markdown import ROOT

PAGE = (ROOT / "docs" / "how-to" / "check-by-hand.md").read_text("utf-8")
BLOCKS = re.findall(r"^```powershell\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
#: Each statement with the comment above it.
LINES = [line for block in BLOCKS for line in re.split(r"\n(?=# |\$\w+ = )", block.strip())]
PARSER = Parser(Language(tree_sitter_pwsh.language()))
#: What only shapes what was read; and a probe, which Exchange runs by itself every few minutes.
READS = {"Where-Object", "Select-Object", "Sort-Object", "Group-Object", "Format-List", "Format-Table", "Select-String"}
READS |= {"Invoke-MonitoringProbe"}


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def code(text: str) -> str:
    """The text without its comments."""
    return re.sub(r"^# .*\n", "", text)


def called(text: str) -> set[str]:
    found = nodes(PARSER.parse(text.encode()).root_node)
    return {(node.text or b"").decode() for node in found if node.type == "command_name"}


def only_reads(text: str) -> bool:
    return all(re.fullmatch(r"(Get|Test)-\w+", name) or name in READS for name in called(text))


def test_every_block_is_powershell() -> None:
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        assert not [node for node in nodes(PARSER.parse(block.encode()).root_node) if node.type == "ERROR"]


@pytest.mark.parametrize("line", LINES)
def test_every_line_only_reads(line: str) -> None:
    assert only_reads(line)
    assert not {">", "&"} & set(code(line))
    kinds = {node.type for node in nodes(PARSER.parse(line.encode()).root_node)}
    assert not kinds & {"invokation_expression", "command_invokation_operator", "redirection"}


@pytest.mark.parametrize(
    "line", ["Set-PopSettings -Server x", "iex $x", "Get-Process | Stop-Process", "Restart-Service y"]
)
def test_a_line_that_changes_something_would_be_found(line: str) -> None:
    assert not only_reads(line)


def test_nothing_is_taken_that_holds_the_password_of_a_probes_mailbox() -> None:
    probes = [line for line in LINES if "Invoke-MonitoringProbe" in line]
    assert probes
    for line in probes:
        named = re.search(r"Format-List (MonitorIdentity, ResultType|ResultType, StateAttribute1)$", line)
        assert named or code(line).endswith(").Count")
        assert not re.search(r"ExecutionContext|StateAttribute(?!1$)|Error|Exception", line)


def test_each_unconfirmed_fact_of_the_doctor_has_its_line_and_says_what_it_settles() -> None:
    public = inspect.getmembers(unconfirmed, inspect.isfunction)
    facts = {name for name, found in public if found.__module__ == unconfirmed.__name__ and not name.startswith("_")}
    told = {fact for line in LINES for fact in re.findall(r"^# (\w+): \S", line)}
    told |= set(re.findall(r"^- `(\w+)`: ", PAGE, re.MULTILINE))
    assert facts <= told


def test_each_line_names_the_fact_that_it_settles() -> None:
    assert [line for line in LINES if not re.match(r"# \w+: \S|\$\w+ = ", line)] == []
