"""What strangers expect of a repository is there, and agrees with what the project does itself."""

import re
import tomllib

from ruamel.yaml import YAML

from tests.docs.markdown import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_both_packages_say_that_they_are_typed() -> None:
    # Without the marker a type checker takes everything imported from an installed exmedic for Any.
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["daemon", "statemachines"]
    assert [package for package in packages if not (ROOT / package / "py.typed").is_file()] == []


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, as they are started in a checkout."""
    lines = (ROOT / "Makefile").read_text("utf-8").replace("$(BIN)", ".venv/bin").splitlines()
    begin = next(number for number, line in enumerate(lines) if re.match(rf"{target}:", line)) + 1
    return [line.strip() for line in lines[begin : lines.index("", begin)]]


def test_the_hooks_before_a_commit_are_the_lints_of_make_lint_and_fetch_nothing() -> None:
    repositories = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    assert {(hook["language"], hook["pass_filenames"]) for hook in hooks} == {("system", False)}


def test_ci_runs_what_developers_run_on_every_python_from_the_oldest_on_and_may_only_read() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    *before, last = [step for step in job["steps"] if "run" in step]
    assert last["run"] == ".ci/run"
    (pwsh,) = before  # whom .ci/run needs and Debian has not
    assert last["env"]["EXMEDIC_PWSH"] in pwsh["run"]
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]  # as text: 3.10 would be read as 3.1
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"


def test_whoever_finds_a_hole_is_told_to_report_it_in_private_and_sent_to_no_address_that_nobody_reads() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "Report a\nvulnerability" in text
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+|mailto:", text)
    assert "[SECURITY.md](SECURITY.md)" in (ROOT / "README.md").read_text("utf-8")


def test_every_promise_of_the_security_page_says_where_it_is_held() -> None:
    promises = (ROOT / "SECURITY.md").read_text("utf-8").partition("## What counts\n")[2].partition("\n## ")[0]
    bullets = promises.split("\n- ")[1:]
    assert bullets
    assert [bullet for bullet in bullets if "](docs/" not in bullet] == []


def test_the_changelog_has_releases_newest_first_and_says_of_every_change_of_which_kind_it_is() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    releases = [part.partition("\n") for part in text.split("\n## ")[1:]]
    assert [name for name, _, _ in releases][:2] == ["Unreleased", PROJECT["project"]["version"]]
    for name, _, release in releases:
        before, *kinds = release.split("\n### ")
        titles = [kind.partition("\n")[0] for kind in kinds]
        assert titles == [kind for kind in ("Added", "Changed", "Fixed", "Removed") if kind in titles], name
        assert "\n- " not in before, f"{name} has a change of no kind"
        assert [kind for kind in kinds if "\n- " not in kind] == [], f"{name} has a kind without a change"


def test_every_page_that_the_changelog_names_is_a_link() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"\]\(docs/[\w./-]+", text)
    assert re.findall(r"(?<![\w(\[/])docs/[\w./-]+\.md", text) == []
