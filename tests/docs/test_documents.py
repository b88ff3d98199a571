"""What the documents name exists: commands, options, files, links, settings, Exchange cmdlets."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.table import every
from daemon.config.settings import Settings
from daemon.domain.audit import AuditKind
from tests.docs.markdown import DOCUMENTS, ROOT, anchors, code, links, named, rows

README = ROOT / "README.md"
INDEX = ROOT / "docs" / "README.md"
INSTALL = ROOT / "docs" / "install.md"
HOW_TO = [INSTALL, *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
PERMISSIONS = ROOT / "docs" / "exchange-permissions.md"
SCRIPTS = ROOT / "daemon" / "exchange" / "scripts"

FOLDERS = ("daemon", "statemachines", "systemd", "tests", "docs", "benchmarks")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=named)


def commands(group: Mapping[str, Any], name: str = "exmedic") -> Iterator[tuple[str, Any]]:
    """Every command of the command line, by its full name; a group counts if it does something by itself."""
    for part, command in group.items():
        full = f"{name} {part}"
        below = getattr(command, "commands", None)
        if not below or command.invoke_without_command:
            yield full, command
        if below:
            yield from commands(below, full)


COMMANDS = dict(commands(every()))
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS}


def invocations(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Where a document says to run exmedic: the line, and what follows the name."""
    for line in code(document):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # no command line, such as a lone quote
        while words and re.fullmatch(r"[A-Z_]+=.*|sudo", words[0]):
            words = words[1:]
        if words and Path(words[0]).name == "exmedic" and not words[0].startswith("exmedic/"):
            yield line, words[1:]


def misnamed(words: list[str]) -> str:
    """What of a command line does not exist; empty when all does."""
    name, rest = "exmedic", words
    while rest and f"{name} {rest[0]}" in COMMANDS.keys() | GROUPS:
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name in GROUPS and name not in COMMANDS:
        unknown = [word for word in rest if not word.startswith("-")]
        return f"{name} {unknown[0]}" if unknown else ""
    known = {option for param in COMMANDS[name].params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    wrong = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{name} {wrong[0]}" if wrong else ""


@each_document
def test_every_command_and_option_exists(document: Path) -> None:
    assert [line for line, words in invocations(document) if misnamed(words)] == []


@pytest.mark.parametrize("line", ["reboot mbx1", "alert sent mbx1", "pause --force", "lab break mbx1 --hard"])
def test_a_command_or_option_that_does_not_exist_is_noticed(line: str) -> None:
    assert misnamed(shlex.split(line)) != ""


def test_the_readme_lists_every_command() -> None:
    listed = [cell.strip("`") for cell, _ in rows(README, "Commands")]
    assert sorted(listed) == sorted(COMMANDS)


@each_document
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named_here = {found[1] for line in code(document) if (found := re.match(r"make ([a-z-]+)", line))}
    assert named_here <= targets


@each_document
def test_every_file_of_this_repository_exists(document: Path) -> None:
    words = {word.rstrip(".,:;") for line in code(document) for word in line.split()}
    ours = {word for word in words if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*", word)}
    assert [name for name in sorted(ours) if not list(ROOT.glob(name.rstrip("/")))] == []


@each_document
def test_every_link_resolves(document: Path) -> None:
    broken = []
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue  # another site's
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_links_every_decision() -> None:
    decisions = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/adr/*.md")}
    assert decisions
    assert decisions == {link for link in links(README) if link.startswith("docs/adr/")}


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, look = set[Path](), [README]
    while look:
        document = look.pop()
        reached.add(document)
        targets = {(document.parent / link.partition("#")[0]).resolve() for link in links(document)}
        look += [target for target in targets if target in DOCUMENTS and target not in reached]
    assert set(DOCUMENTS) - reached == set()


def test_every_page_is_in_the_index_under_one_of_the_four_kinds() -> None:
    text = INDEX.read_text("utf-8")
    kinds = {title: section for title, _, section in (part.partition("\n") for part in text.split("\n## ")[1:])}
    assert list(kinds) == ["Quickstart", "How-to", "Reference", "Background"]
    found = [(link, kind) for kind, section in kinds.items() for link in re.findall(r"\]\(([\w/-]+\.md)\)", section)]
    pages = {str(page.relative_to(INDEX.parent)) for page in DOCUMENTS if INDEX.parent in page.parents}
    assert sorted(link for link, _ in found) == sorted(
        page for page in pages if page != "README.md" and "adr/" not in page
    )
    assert {link for link, kind in found if kind == "How-to"} == {
        str(page.relative_to(INDEX.parent)) for page in HOW_TO
    }


def pages_named_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w/])docs/[\w./-]*\w", text))


def test_every_page_that_code_names_exists() -> None:
    # A page that wakes somebody at night names where to read on.
    named_by = {
        name: str(path.relative_to(ROOT))
        for folder in ("daemon", "statemachines", "systemd", "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".ps1", ".sql", ".yaml", ".service", ".catalog", ".sysusers"}
        for name in pages_named_in(path.read_text("utf-8"))
    }
    assert "docs/how-to/back-up-and-upgrade.md" in named_by
    missing = {name: path for name, path in named_by.items() if not [*ROOT.glob(name), *ROOT.glob(f"{name}-*.md")]}
    assert missing == {}


def test_every_setting_that_the_how_tos_name_exists() -> None:
    settings = set(Settings.model_fields)
    for field in Settings.model_fields.values():
        settings |= set(getattr(field.annotation, "model_fields", {}))
    text = "".join(page.read_text("utf-8") for page in HOW_TO)
    named_here = set(re.findall(r"`(\w+)` (?:seconds|in the configuration)", text))
    assert named_here
    assert named_here - settings == set()


def test_every_kind_of_audit_row_that_the_how_tos_name_exists() -> None:
    kinds = re.findall(r"AUDIT_KIND=(\w+)", "".join(page.read_text("utf-8") for page in HOW_TO))
    assert kinds
    assert set(kinds) <= set(AuditKind)


def test_the_page_about_installing_installs_all_that_systemd_needs() -> None:
    installed = {word for line in code(INSTALL) for word in line.split() if word.startswith("systemd/")}
    assert installed == {f"systemd/{path.name}" for path in (ROOT / "systemd").iterdir()}


def test_the_page_about_installing_says_so_as_long_as_the_unit_hides_the_names_of_operators() -> None:
    # Under PrivateUsers= the kernel gives every other user as 65534 (systemd.exec(5), user_namespaces(7)).
    hidden = "\nPrivateUsers=yes\n" in (ROOT / "systemd" / "exmedic.service").read_text("utf-8")
    assert ("on record as `nobody`" in INSTALL.read_text("utf-8")) == hidden


def called() -> dict[str, tuple[set[str], set[str]]]:
    """Each cmdlet that the scripts send to Exchange: its parameters, and the scripts that call it."""
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    call = re.compile(r"(?:Invoke-Exchange|Get-One) '([\w-]+)' (@\{.*?\}|\$\w+)")
    texts = {path.stem: path.read_text("utf-8") for path in SCRIPTS.glob("*.ps1")}
    for script, text in texts.items():
        for cmdlet, given in call.findall(text):
            parameters = set(re.findall(r"(\w+)\s*=", given))
            if given.startswith("$"):
                variable = re.escape(given)
                assignments = re.findall(rf"{variable} = (@\{{.*?\}})", text)
                parameters = set(re.findall(r"(\w+)\s*=", " ".join(assignments)))
                parameters |= set(re.findall(rf"{variable}\['(\w+)'\] =", text))
            found[cmdlet][0].update(parameters)
            found[cmdlet][1].add(script)
    # What stands in the prelude is called by whoever calls its function.
    for cmdlet, (_, scripts) in found.items():
        if "_prelude" in scripts:
            function = re.search(rf"function ([\w-]+) \{{[^}}]*?'{cmdlet}'", texts["_prelude"])
            assert function, cmdlet
            scripts.remove("_prelude")
            scripts |= {name for name, text in texts.items() if name != "_prelude" and function[1] in text}
    return dict(found)


def test_the_account_is_given_the_cmdlets_and_parameters_that_the_scripts_use_and_no_others() -> None:
    documented = {
        cmdlet: (set(parameters.split(", ")), set(scripts.split(", ")))
        for cmdlet, parameters, scripts, _ in rows(PERMISSIONS, "Exchange cmdlets")
    }
    assert documented == called()


def test_the_cmdlets_that_change_something_are_marked_as_such() -> None:
    marked = {cmdlet for cmdlet, _, _, changes in rows(PERMISSIONS, "Exchange cmdlets") if changes == "yes"}
    assert marked == {cmdlet for cmdlet in called() if cmdlet.startswith("Set-")}


@each_document
def test_no_line_is_too_long_to_be_read_in_a_terminal(document: Path) -> None:
    long = [line for line in document.read_text("utf-8").splitlines() if len(line) > 120 and not line.startswith("|")]
    assert long == []
