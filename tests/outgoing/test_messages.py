"""What pages say."""

import re
from datetime import UTC, datetime

import pytest

from daemon.cli.table import loaded
from daemon.outgoing.messages import logon_messages

NOW = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
TEXT = logon_messages("exmedic", "refused", NOW)[0].body["text"]


@pytest.mark.parametrize("command", re.findall(r"^  exmedic (\S+(?: \S+)*)  ", TEXT, re.MULTILINE))
def test_the_commands_on_the_page_of_a_refused_password_can_be_given(command: str) -> None:
    name, *arguments = command.split()
    assert loaded(name).make_context(name, list(arguments)).params


def test_the_page_of_a_refused_password_names_commands() -> None:
    assert TEXT.count("  exmedic ") == 2
