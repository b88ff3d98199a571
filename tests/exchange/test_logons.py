"""How often a password is offered: one refusal a rest, three an hour, and one server cannot keep all others waiting."""

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.exchange.logons import ALONE, MOST, REST, WITHIN, Hop, Identity, Logon, Logons, NoLogon
from daemon.testing.clock import ManualClock

HOPS = (Hop.SERVER, Hop.EXCHANGE)
HERE = (Hop.SERVER,)


class Site:
    """Servers that accept every password but `wrong` ones, and `liars` that accept none."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.file = folder / "logons.json"
        self.logons = self.started()
        self.wrong: set[str] = set()
        self.liars: set[str] = set()

    def started(self) -> Logons:
        return Logons(self.clock.now, self.file)

    def identity(self, password: str = "good", user: str = "exmedic") -> Identity:  # noqa: S107 - none of anybody
        return self.logons.identity(user, user, "/etc/exmedic/secret", password)

    def begin(self, server: str, password: str = "good", *, others: bool = True) -> Logon:  # noqa: S107 - as above
        return self.logons.begin(self.identity(password), server, HERE, 0.0, others=others)

    def ask(self, server: str, password: str = "good", *, others: bool = True) -> str:  # noqa: S107 - as above
        """What a call came to: accepted, refused, or withheld."""
        try:
            logon = self.begin(server, password, others=others)
        except NoLogon:
            return "withheld"
        try:
            if server in self.liars or password in self.wrong:
                logon.refused(Hop.SERVER, "access denied")
                return "refused"
            logon.accepted(Hop.SERVER)
            return "accepted"
        finally:
            logon.leave()

    def passes(self, span: timedelta) -> None:
        self.clock.advance(span.total_seconds())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_after_the_rest_another_server_is_asked_first_and_the_one_that_refused_is_then_left_alone(site: Site) -> None:
    site.liars = {"mbx1"}
    assert [site.ask(name) for name in ("mbx1", "mbx2")] == ["refused", "withheld"]
    site.passes(REST)
    assert [site.ask(name) for name in ("mbx1", "mbx2", "mbx1", "mbx3")] == [
        "withheld",
        "accepted",
        "withheld",
        "accepted",
    ]
    (told,) = site.logons.untold()
    assert str(told).startswith("mbx1 is left alone until 2026-11-02 13:00 UTC")
    assert "which mbx2 accepts" in str(told)
    assert "its clock, its secure channel to the domain and its NTLM policy" in str(told)
    assert site.started().resting() == [told], "a restart knows it, and status says so"


def test_a_server_that_refuses_again_what_others_accept_is_left_alone_for_longer_and_told_once(site: Site) -> None:
    site.liars = {"mbx1"}
    for times in range(4):
        assert site.ask("mbx1") == "refused"
        site.logons.tell(site.logons.resting()[0])
        site.passes(REST)
        assert site.ask("mbx2") == "accepted"
        assert len(site.logons.untold()) == (times == 0)
        for refusal in site.logons.untold():
            site.logons.tell(refusal)
        site.passes(ALONE * 2**times - REST - timedelta(seconds=1))
        assert site.ask("mbx1") == "withheld"
        site.passes(timedelta(seconds=1))
    site.liars = set()
    assert site.ask("mbx1") == "accepted"
    assert site.logons.resting() == []


def test_a_server_that_is_asked_again_after_it_was_left_alone_is_asked_by_one_thread_at_a_time(site: Site) -> None:
    site.liars = {"mbx1"}
    site.ask("mbx1")
    site.passes(REST)
    site.ask("mbx2")
    site.passes(ALONE)
    first = site.begin("mbx1")
    with pytest.raises(NoLogon):
        site.begin("mbx1")
    assert site.ask("mbx2") == "accepted"
    first.leave()
    site.begin("mbx1")


def test_a_password_that_no_other_server_is_given_goes_to_the_same_one_again(site: Site) -> None:
    site.wrong = {"good"}
    assert site.ask("mbx1", others=False) == "refused"
    site.passes(REST)
    assert site.ask("mbx1", others=False) == "refused"


def test_where_no_other_server_is_asked_the_same_one_is_after_two_rests(site: Site) -> None:
    site.liars = {"mbx1"}
    site.ask("mbx1")
    site.passes(2 * REST - timedelta(seconds=1))
    assert site.ask("mbx1") == "withheld"
    site.passes(timedelta(seconds=1))
    assert site.ask("mbx1") == "refused"


def test_after_three_refusals_within_an_hour_a_password_rests_until_it_is_over_but_for_another_one(site: Site) -> None:
    site.wrong = {"bad", "worse"}
    for name in ("mbx1", "mbx2", "mbx3"):
        assert site.ask(name, "bad") == "refused"
        site.passes(REST)
    assert site.ask("mbx4", "bad") == "withheld"
    assert site.ask("mbx4", "worse") == "refused", "a file that was changed ends the rest, once"
    site.passes(REST)
    (refusal,) = site.logons.resting()
    assert "until 2026-11-02 13:15 UTC" in str(refusal)
    assert site.ask("mbx1", "worse") == "withheld"
    site.passes(REST)
    assert site.ask("mbx1", "worse") == "refused"


def test_what_another_process_is_refused_rests_here_as_well(site: Site) -> None:
    site.wrong = {"bad"}
    assert site.ask("mbx1", "bad") == "refused"
    daemon = site.logons
    site.logons = site.started()
    site.passes(REST)
    assert site.ask("mbx2", "bad") == "refused"
    site.logons = daemon
    assert site.ask("mbx3", "bad") == "withheld"


def test_what_an_earlier_version_has_kept_is_understood(site: Site) -> None:
    site.wrong = {"bad"}
    site.ask("mbx1", "bad")
    text = site.file.read_text()
    old = text.replace(',"rest":"PT15M","elsewhere":"","times":1', "")
    assert old != text
    site.file.write_text(old[: old.index(',"recent"')] + "}")
    site.logons = site.started()
    assert site.ask("mbx2", "bad") == "withheld"


class Nights(RuleBasedStateMachine):
    """Threads of two accounts log on to four servers, one of which may lie; time passes, and the daemon dies."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.site = Site(Path(self.folder.name))
        self.open: list[tuple[str, str, str, Logon]] = []
        self.refusals: defaultdict[str, list[tuple[datetime, str, str]]] = defaultdict(list)
        self.password = {"ann": "ann-0", "bob": "bob-0"}
        self.changes: defaultdict[str, list[datetime]] = defaultdict(list)
        self.waiting: dict[str, datetime] = {}  #: since when a good password is offered to no honest server

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(user=st.sampled_from(["ann", "bob"]), server=st.integers(1, 4), hops=st.sampled_from([HERE, HOPS]))
    def a_thread_logs_on(self, user: str, server: int, hops: tuple[Hop, ...]) -> None:
        password, name = self.password[user], f"mbx{server}"
        try:
            logon = self.site.logons.begin(self.site.identity(password, user), name, hops, 0.0)
        except NoLogon as withheld:
            if withheld.refusal is not None and password not in self.site.wrong and name not in self.site.liars:
                since = self.waiting.setdefault(user, self.site.clock.now())
                few = len(self.recent(user)) < MOST
                assert not few or self.site.clock.now() - since < REST, "one liar keeps all others waiting"
            return
        self.waiting.pop(user, None)
        self.open.append((user, password, name, logon))

    @rule(which=st.integers(0, 20))
    def a_logon_ends(self, which: int) -> None:
        if not self.open:
            return
        user, password, name, logon = self.open.pop(which % len(self.open))
        if name in self.site.liars or password in self.site.wrong:
            logon.refused(Hop.SERVER, "access denied")
            self.refusals[user].append((self.site.clock.now(), password, name))
        else:
            logon.accepted(Hop.SERVER)
            logon.accepted(Hop.EXCHANGE)
        logon.leave()

    @rule(user=st.sampled_from(["ann", "bob"]), server=st.integers(1, 4), minutes=st.sampled_from([0, 14, 15, 45]))
    def a_call_and_a_while(self, user: str, server: int, minutes: int) -> None:
        self.time_passes(minutes)
        threads = len(self.open)
        for _ in range(2):
            self.a_thread_logs_on(user, server, HERE)
        while len(self.open) > threads:
            self.a_logon_ends(threads)

    @rule(which=st.integers(0, 20))
    def a_logon_comes_to_nothing(self, which: int) -> None:
        if self.open:
            self.open.pop(which % len(self.open))[-1].leave()

    @rule(minutes=st.sampled_from([1, 7, 14, 15, 16, 31, 60, 61, 125]))
    def time_passes(self, minutes: int) -> None:
        if not self.open:  # a logon has a deadline
            self.site.passes(timedelta(minutes=minutes))

    @rule()
    def the_daemon_starts_again(self) -> None:
        self.open.clear()
        self.site.logons = self.site.started()

    @rule(server=st.integers(1, 4))
    def a_server_begins_to_lie(self, server: int) -> None:
        if not self.open and not self.site.liars:
            self.site.liars = {f"mbx{server}"}

    @rule(user=st.sampled_from(["ann", "bob"]), good=st.booleans())
    def the_file_changes(self, user: str, good: bool) -> None:
        if not self.open:
            number = int(self.password[user].partition("-")[2]) + 1
            self.password[user] = f"{user}-{number}"
            self.changes[user].append(self.site.clock.now())
            self.waiting.pop(user, None)
            if not good:
                self.site.wrong.add(self.password[user])

    def recent(self, user: str) -> list[datetime]:
        now = self.site.clock.now()
        return [at for at, _, _ in self.refusals[user] if now - at < WITHIN]

    @invariant()
    def at_most_three_refusals_an_hour_and_account_but_for_another_password(self) -> None:
        now = self.site.clock.now()
        for user in self.refusals:
            changes = sum(now - at <= WITHIN for at in self.changes[user])
            assert len(self.recent(user)) <= MOST + changes

    @invariant()
    def at_most_one_refusal_a_rest_and_password(self) -> None:
        for found in self.refusals.values():
            by_password: defaultdict[str, list[datetime]] = defaultdict(list)
            for at, password, _ in found:
                by_password[password].append(at)
            for times in by_password.values():
                assert all(later - earlier >= REST for earlier, later in pairwise(times))


TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
