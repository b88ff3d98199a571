"""The parts of the log-reading scripts that can be tried without PowerShell, and what they must never do.

The regular expressions use nothing that .NET and Python read differently.
"""

import csv
import io
import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.lab.pop_log import FOLDER

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12)


def text(name: str) -> str:
    return (files("daemon.exchange") / "scripts" / f"{name}.ps1").read_text("utf-8")


def pattern(name: str, before: str) -> re.Pattern[str]:
    """The regular expression that stands, quoted, after some text of a script."""
    found = re.search(re.escape(before) + r"'((?:[^']|'')+)'", text(name))
    assert found is not None
    return re.compile(found[1].replace(r"\z", r"\Z").replace("''", "'"))


def split(line: str) -> list[str]:
    """As Split-Line does."""
    found = pattern("protocol_log", "[regex]::Matches(',' + $Line, ").finditer("," + line)
    return [match[2] if match[1] is None else match[1].replace('""', '"') for match in found]


@given(st.lists(FIELD, min_size=1, max_size=14))
def test_a_line_of_csv_is_split_into_the_fields_it_was_made_of(fields: list[str]) -> None:
    line = io.StringIO(newline="")
    csv.writer(line, quoting=csv.QUOTE_MINIMAL, lineterminator="").writerow(fields)
    assert split(line.getvalue()) == fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", [""]),
        (",", ["", ""]),
        ('a,R=ok;Msg="Proxy:MBX1.contoso.lab:1995:SSL",b', ["a", 'R=ok;Msg="Proxy:MBX1.contoso.lab:1995:SSL"', "b"]),
        ('a,"R=""-ERR, no""",', ["a", 'R="-ERR, no"', ""]),
        ('a,"never closed', ["a", '"never closed']),
    ],
)
def test_quotes_inside_a_field_and_empty_fields_are_kept(line: str, fields: list[str]) -> None:
    assert split(line) == fields


@pytest.mark.parametrize("folder", [FOLDER, FOLDER + "\\", r"D:\Logs (POP)\Pop3"])
def test_a_local_folder_is_taken(folder: str) -> None:
    assert pattern("protocol_log", "$folder -cnotmatch ").search(folder)


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "C:\\",
        "C:Logs",
        r"\\other\share\Pop3",
        r"C:\Logs\..\Secrets",
        r"C:\Logs\*",
        r"C:\Logs\P?p3",
        r"C:\Logs\[a]",
        "C:/Logs",
        "C:\\Logs\n",
        r"C:\Logs;x",
        r"C:\Logs\a:b",
        "Pop3",
    ],
)
def test_anything_else_is_no_folder_to_read(folder: str) -> None:
    assert not pattern("protocol_log", "$folder -cnotmatch ").search(folder)


@pytest.mark.parametrize(("user", "taken"), [("HealthMailbox*", True), ("*", True), ("a[b]c", False), ("a?", False)])
def test_patterns_of_users_have_stars_only(user: str, taken: bool) -> None:
    assert bool(pattern("protocol_log", "([string] $user) -cnotmatch ").search(user)) == taken


def test_a_log_that_the_service_holds_open_is_read_without_hindering_it() -> None:
    opened = text("protocol_log")
    assert "[System.IO.FileShare]'ReadWrite, Delete'" in opened
    assert "[System.IO.FileAccess]::Read," in opened
    for opening in ("Get-Content", "ReadAllText", "ReadAllLines", "OpenText"):
        assert opening not in opened


def test_only_an_event_log_without_events_reads_as_nothing() -> None:
    log = text("recovery_log")
    assert log.count("catch") == 1
    assert re.search(
        r"catch \{\s+if \(-not \$_\.FullyQualifiedErrorId\.StartsWith\('NoMatchingEventsFound'.*\s+throw", log
    )
    for silent in ("SilentlyContinue", "'Ignore'"):
        assert silent not in log
