"""What strangers expect of a repository is there, and agrees with what the project does itself."""

import tomllib

from tests.docs.markdown import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_both_packages_say_that_they_are_typed() -> None:
    # Without the marker a type checker takes everything imported from an installed exmedic for Any.
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["daemon", "statemachines"]
    assert [package for package in packages if not (ROOT / package / "py.typed").is_file()] == []
