"""`[[windows]]`: what is understood, and what is a mistake, with its line."""

from datetime import UTC, datetime, time

import pytest

from daemon.config.settings import load_settings
from daemon.domain.windows import Span, Weekly, WindowKind
from tests.config.site import SETTINGS, Site

ONCE = """
[[windows]]
kind = "freeze"
name = "year-end"
from = 2026-12-18T18:00:00+01:00
until = 2027-01-04T06:00:00+01:00
sites = ["lyon"]
"""
WEEKLY = """
[[windows]]
kind = "business_hours"
name = "office"
days = ["friday", "monday"]
from = "22:00"
until = 06:30:00
timezone = "Europe/Paris"
servers = ["MBX1", "mbx2.contoso.com"]
dags = ["DAG1"]
"""
LACKS = "which the inventory does not have"
FIRST = SETTINGS.count("\n") + 2  #: the line of the first window's header


def test_a_window_is_once_or_weekly(site: Site) -> None:
    site.write(settings=SETTINGS + ONCE + WEEKLY)
    assert site.mistakes() == []
    once, weekly = (window.window() for window in load_settings(site.settings).windows)
    begins, ends = datetime(2026, 12, 18, 17, tzinfo=UTC), datetime(2027, 1, 4, 5, tzinfo=UTC)
    assert (once.kind, once.name, once.when, once.sites) == (
        WindowKind.FREEZE,
        "year-end",
        Span(begins, ends),
        ("lyon",),
    )
    assert weekly.when == Weekly(days=(0, 4), begins=time(22), ends=time(6, 30), zone="Europe/Paris")
    assert weekly.scope == "MBX1, mbx2.contoso.com, DAG DAG1"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('kind = "freeze"', 'kind = "frost"', 1, "must be 'maintenance', 'freeze' or 'business_hours'"),
        ('name = "year-end"\n', "", 0, "windows[0].name is missing"),
        ("until = 2027", "untill = 2027", 4, "windows[0].untill is not known; did you mean until?"),
        ("from = 2026", "form = 2026", 3, "windows[0].form is not known; did you mean from?"),
        ("18:00:00+01:00", "18:00:00", 3, "windows[0].from needs its offset from UTC"),
        ("2026-12-18T18:00:00+01:00", "2026-12-18", 3, "a whole day is from 00:00 until 00:00"),
        ("2026-12-18T18:00:00+01:00", '"6 pm"', 3, 'or for a weekly window a local time such as "22:00"'),
        ("2026-12-18T18:00:00+01:00", "18", 3, "windows[0].from must be a date and time with its offset"),
        ("2026-12-18T18:00:00+01:00", '"18:00"', 4, "until and from must be of one sort"),
        ("2027-01-04T06:00:00+01:00", "2026-12-18T18:00:00+01:00", 4, "until must be later than from"),
        ("2027-01-04", "2027-03-20", 4, "must be at most 90 days after from"),
        ("sites", 'days = ["monday"]\nsites', 5, "days are for a weekly window"),
        ("sites", 'timezone = "UTC"\nsites', 5, "timezone is for a weekly window"),
    ],
)
def test_mistakes_of_a_one_off_window(site: Site, old: str, new: str, line: int, message: str) -> None:
    assert old in ONCE
    site.write(settings=SETTINGS + ONCE.replace(old, new))
    found = {at: text for _, at, text in site.mistakes()}
    assert message in found[FIRST + line]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('days = ["friday", "monday"]\n', "", 0, "days are missing: on which days does it begin?"),
        ('"friday"', '"fri"', 3, "windows[0].days[0] must be 'monday'"),
        ('timezone = "Europe/Paris"\n', "", 0, "timezone is missing"),
        ("Europe/Paris", "Europe/Pariss", 6, "timezone is no time zone that this machine knows; did you mean Europe/"),
        ("Europe/Paris", "../../etc/passwd", 6, "is no time zone that this machine knows"),
        ("Europe/Paris", "Europe", 6, "is no time zone that this machine knows"),
        ('"22:00"', '"25:00"', 4, "such as"),
    ],
)
def test_mistakes_of_a_weekly_window(site: Site, old: str, new: str, line: int, message: str) -> None:
    assert old in WEEKLY
    site.write(settings=SETTINGS + WEEKLY.replace(old, new))
    found = {at: text for _, at, text in site.mistakes()}
    assert message in found[FIRST + line]


def test_a_window_that_never_ends_is_a_mistake(site: Site) -> None:
    every = '["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]'
    whole = WEEKLY.replace('["friday", "monday"]', every).replace('"22:00"', "06:30:00")
    site.write(settings=SETTINGS + whole)
    assert any("it would never end" in text for _, _, text in site.mistakes())


def test_two_windows_of_one_name_are_a_mistake(site: Site) -> None:
    site.write(settings=SETTINGS + ONCE + ONCE)
    assert "windows has two of the name year-end" in site.mistakes()[0][2]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"MBX1"', '"mbx11"', 7, f"servers[0] names the server mbx11, {LACKS}; did you mean mbx1"),
        ('["DAG1"]', '["DAG9"]', 8, f"windows[0].dags[0] names the DAG DAG9, {LACKS}; did you mean DAG1?"),
        ('["DAG1"]', '["DAG1"]\nsites = ["Paris"]', 9, f"sites[0] names the site Paris, {LACKS}; known here: Lyon"),
    ],
)
def test_a_window_for_something_that_the_inventory_does_not_have_is_a_mistake(
    site: Site, old: str, new: str, line: int, message: str
) -> None:
    site.write(settings=SETTINGS + WEEKLY.replace(old, new))
    ((file, at, text),) = site.mistakes()
    assert (file, at) == (site.settings.name, FIRST + line)
    assert message in text
