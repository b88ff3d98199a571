"""`exmedic scripts`: what is sent to servers, with the hash of exactly the bytes that run."""

import base64
import hashlib
import json
import re

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.exchange import answers, launch
from daemon.exchange.catalogue import ANY, DISRUPTS, ITSELF, PEER, READ, SETS, catalogue

RUN = CliRunner()


@pytest.mark.parametrize("name", launch.NAMES)
def test_the_hash_is_that_of_the_bytes_that_run_as_script_block_and_show_prints_them(name: str) -> None:
    sent = json.loads(base64.b64decode(launch.stdin(name, "i1.1", {}).splitlines()[0]))
    runs = base64.b64decode(sent["script"])
    listed = RUN.invoke(app, ["scripts", "list", "--hashes"])
    assert f"{hashlib.sha256(runs).hexdigest()}  {name}" in listed.output.splitlines()
    shown = RUN.invoke(app, ["scripts", "show", name])
    assert (shown.exit_code, shown.stdout_bytes) == (0, runs)


def test_the_list_says_of_each_what_the_contract_says() -> None:
    rows = re.findall(r"^\| (\w+) +\| ([\w ]+?) +\| ([\w ]+?) +\|", answers.__doc__ or "", re.MULTILINE)
    told = {name: (effect, where) for name, where, effect in rows if name != "script"}
    effects = {READ: "read", SETS: "set value", DISRUPTS: "disruptive"}
    places = {ITSELF: ("itself",), PEER: ("a peer",), ANY: ("any", "anybody")}
    assert [each.name for each in catalogue()] == sorted(told)
    for each in catalogue():
        effect, where = told[each.name]
        assert effects[each.effect] == effect
        assert where in places[each.runs_on]
        assert each.session is (each.name not in launch.ON_THEIR_OWN)


def test_the_list_fits_a_terminal_and_names_every_script() -> None:
    listed = RUN.invoke(app, ["scripts", "list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in launch.NAMES)


def test_a_name_that_is_not_shipped_is_refused_with_where_to_look() -> None:
    refused = RUN.invoke(app, ["scripts", "show", "../secrets"])
    assert refused.exit_code != 0
    assert refused.stdout == ""
