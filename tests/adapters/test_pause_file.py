"""The kill switch, raced: after `pause` has returned, no effect starts and none is just being sent; and its scopes."""

import errno
import json
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters.pause_file import OF_NOBODY, PauseFile
from daemon.adapters.pause_orders import OF_THE_DAEMON, OPEN_TO_THE_GROUP, REASON_LIMIT, entry_of, new_id
from daemon.domain.pauses import EVERYTHING, Terms, scope_of
from tests.realparts.nobody import NOBODY, as_nobody
from tests.realparts.waiting import HANG
from tests.remediation.world import ALONE, DAG, MBX1, inventory

SERVERS = inventory()
TRIALS = 1_000
SENDERS = 3
SCOPES = (EVERYTHING, MBX1, "dag.DAG1")
SLOW = 0.001  # seconds that a slow effect takes to be sent


@pytest.fixture
def quick_switching() -> Iterator[None]:
    """Threads take turns ten times as often as usual, so that they meet in more ways."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 10)
    yield
    sys.setswitchinterval(before)


def file(pause: PauseFile, scope: str) -> Path:
    """Where the daemon keeps a pause that is nobody's in particular."""
    return pause.ordered / entry_of(scope, OF_NOBODY)


class Race:
    """One trial: some threads send, one of them slowly and the others as fast as they can, and one pauses."""

    def __init__(self, path: Path, scope: str) -> None:
        self.pause = PauseFile(path, SERVERS)
        self.scope = scope
        self.returned = threading.Event()
        self.started = threading.Semaphore(0)
        self.sent = 0
        self.too_late = 0

    def send(self, server: str, lasting: float) -> None:
        begun = False
        while True:
            with self.pause.permit(server) as allowed:
                if not allowed:
                    break
                self.sent += 1
                self.too_late += self.returned.wait(lasting)
            if not begun:
                self.started.release()
                begun = True
        if not begun:
            self.started.release()

    def stop(self) -> None:
        self.started.acquire()  # at least one of them is in full swing
        self.pause.pause("now", self.scope)
        self.returned.set()


@pytest.mark.usefixtures("quick_switching")
def test_after_pause_returns_no_permit_allows_in_a_thousand_races(tmp_path: Path) -> None:
    sent = 0
    with ThreadPoolExecutor(SENDERS + 1) as threads:
        for trial in range(TRIALS):
            scope = SCOPES[trial % len(SCOPES)]
            race = Race(tmp_path / f"pause-{trial}", scope)
            # A pause of a DAG is raced by several of its servers.
            servers = [MBX1 if scope == MBX1 else DAG[number % len(DAG)] for number in range(SENDERS)]
            running = [threads.submit(race.send, servers[n], 0.0 if n else SLOW) for n in range(SENDERS)]
            running.append(threads.submit(race.stop))
            for each in running:
                each.result(timeout=HANG)
            assert race.too_late == 0, f"trial {trial}: an effect was being sent after the pause had returned"
            sent += race.sent
            with race.pause.permit(ALONE) as allowed:
                assert allowed == (scope != EVERYTHING), "what is not paused goes on"
    assert sent >= TRIALS, "the senders never sent: nothing was raced"


def test_pause_waits_for_an_effect_that_is_being_sent(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    with ThreadPoolExecutor(1) as threads:
        with pause.permit(MBX1) as allowed:
            assert allowed
            stopping = threads.submit(pause.pause, "now")
            with pytest.raises(TimeoutError):
                stopping.result(timeout=0.1)
        stopping.result(timeout=HANG)
    with pause.permit(MBX1) as allowed:
        assert not allowed


def test_while_a_disk_hangs_under_a_pause_whoever_asks_why_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop asks: it must not stand still because of one pause."""
    hangs, over = threading.Event(), threading.Event()

    def sync(_descriptor: int) -> None:
        hangs.set()
        over.wait()

    pause = PauseFile(tmp_path / "pause", SERVERS)
    monkeypatch.setattr(os, "fsync", sync)
    with ThreadPoolExecutor(2) as threads:
        stopping = threads.submit(pause.pause, "now")
        try:
            assert hangs.wait(HANG)
            assert threads.submit(pause.reason).result(timeout=HANG) == "now"
        finally:
            over.set()
        stopping.result(timeout=HANG)


def test_a_send_that_fails_does_not_keep_a_pause_waiting(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    with pytest.raises(ConnectionError), pause.permit(MBX1):
        raise ConnectionError
    pause.pause("now")
    assert pause.reason() == "now"


def test_a_pause_is_on_the_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def recorded(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", recorded)
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause("now")
    ordered = pause.order("now", EVERYTHING, Terms(id=new_id()))
    # A power cut may otherwise forget the file, or that there is one, and the next start would act.
    known = file(pause, EVERYTHING)
    assert synced == [each.stat().st_ino for each in (known, known.parent, ordered, ordered.parent)]


def test_whatever_cannot_be_looked_at_is_paused(tmp_path: Path) -> None:
    directory = tmp_path / "pause-directory"
    directory.mkdir()
    for path in (directory, tmp_path / "missing" / "pause", tmp_path / ("x" * 300)):
        pause = PauseFile(path, SERVERS)
        assert pause.reason() is not None, path
        with pause.permit(MBX1) as allowed:
            assert not allowed


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n \n", b"x" * 10_000])
def test_a_file_with_anything_in_it_pauses(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pause"
    path.write_bytes(content)
    reason = PauseFile(path, SERVERS).reason()
    assert reason
    assert len(reason) <= max(REASON_LIMIT, len(str(path)) + 50)


def test_resuming_removes_the_file_and_says_whether_there_was_one(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause("now")
    assert pause.resume() is True
    assert pause.resume() is False
    with pause.permit(MBX1) as allowed:
        assert allowed


@pytest.mark.parametrize("entry", ["mbx1", "MBX1.contoso.lab", "dag.DAG1", "dag.dag1"])
def test_an_entry_in_the_directory_pauses_its_server_or_dag_and_nothing_else(tmp_path: Path, entry: str) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.directory.mkdir()
    (pause.directory / entry).write_text("by hand", "utf-8")
    assert "by hand" in (pause.reason(MBX1) or "")
    assert (pause.reason(DAG[1]) is None) == ("dag" not in entry)
    assert pause.reason(ALONE) is None
    assert pause.reason() is None
    (scope,) = pause.standing()
    assert pause.resume() is False, "everything was not paused"
    assert pause.resume(scope) is True, "whatever way it was spelt by hand"
    assert pause.reason(MBX1) is None


def test_an_entry_that_names_nothing_known_pauses_everything_and_says_so(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    for entry in ("mbx9", "dag.", "dag.DAG7", "DAG1", b"\xff".decode(errors="surrogateescape")):
        pause.directory.mkdir(exist_ok=True)
        (pause.directory / entry).touch()
        reason = pause.reason(ALONE) or ""
        assert "names no server of the inventory and no DAG" in reason, entry
        reason.encode()
        assert pause.resume() is True
        assert pause.reason(ALONE) is None


def test_a_directory_that_cannot_be_read_pauses_everything(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.directory.write_text("a file in its place")
    assert "cannot be read" in (pause.reason(ALONE) or "")
    with pytest.raises(OSError, match=r"pause\.d"):
        pause.order("now", MBX1, Terms(id=new_id()))


def test_a_pause_of_a_server_does_not_wait_for_what_is_sent_elsewhere(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    with ThreadPoolExecutor(1) as threads, pause.permit(ALONE):
        threads.submit(pause.pause, "now", MBX1).result(timeout=HANG)
    assert pause.reason(MBX1) == f"{MBX1} now"


def test_a_server_and_everything_are_paused_and_resumed_each_by_itself(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause("the server", MBX1)
    pause.pause("all")
    assert dict(pause.standing()) == {EVERYTHING: "all", MBX1: "the server"}
    pause.resume()
    assert dict(PauseFile(pause.path, SERVERS).standing()) == {MBX1: "the server"}, "over a restart"
    assert pause.resume(MBX1) is True
    assert pause.resume(MBX1) is False


@pytest.mark.parametrize("scope", [EVERYTHING, MBX1])
def test_what_the_disk_does_not_take_is_paused_all_the_same_until_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pause = PauseFile(tmp_path / "pause", SERVERS)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pause.pause("now", scope)
    for left in pause.ordered.glob("*"):
        left.unlink()  # what a full disk would not have taken
    with pause.permit(MBX1) as allowed:
        assert not allowed
    assert pause.resume(scope) is True
    with pause.permit(MBX1) as allowed:
        assert allowed


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_it_pauses_without_saying_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: int, scope: str
) -> None:
    """A file with nothing in it pauses as well: there is room for it where a daemon hangs, and none for the reason."""

    def no_room(_descriptor: int, _text: bytes) -> int:
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr(os, "write", no_room)
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause("by an administrator", scope)
    assert file(pause, scope).read_bytes() == b""
    assert set(PauseFile(tmp_path / "pause", SERVERS).standing()) == {scope}


def test_a_pause_is_called_by_the_name_in_the_inventory() -> None:
    assert scope_of(SERVERS, "", "") == EVERYTHING
    assert scope_of(SERVERS, "MBX1", "") == MBX1
    assert scope_of(SERVERS, "", "dag1") == "dag.DAG1"
    assert scope_of(SERVERS, "mbx9", "") is scope_of(SERVERS, "", "DAG7") is scope_of(SERVERS, "mbx1", "DAG1") is None


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory of the user nobody. Not below the test's own, which nobody else may enter."""
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, NOBODY, NOBODY)
        yield Path(directory)


@pytest.mark.parametrize("scope", [EVERYTHING, MBX1, "dag.DAG1"])
@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_that_root_has_made_does_not_keep_the_daemons_user_from_pausing_and_resuming(
    state: Path, scope: str, mode: int
) -> None:
    pause = PauseFile(state / "pause", SERVERS)
    pause.directory.mkdir()
    os.chown(pause.directory, NOBODY, NOBODY)
    file = pause.directory / scope if scope else pause.path
    file.write_text("by hand of root")
    file.chmod(mode)

    def of_the_daemon() -> None:
        pause.pause("by the daemon", scope)
        assert pause.standing() == {scope: "by the daemon"}
        assert pause.resume(scope) is True
        assert not pause.standing()

    assert as_nobody(of_the_daemon) == (0, "")


@pytest.mark.parametrize("scope", [EVERYTHING, MBX1])
def test_what_root_pauses_the_daemons_user_can_read_add_to_and_resume(state: Path, scope: str) -> None:
    pause = PauseFile(state / "pause", SERVERS)
    before = os.umask(0o077)
    try:
        pause.pause("by root", scope)
    finally:
        os.umask(before)

    def of_the_daemon() -> None:
        assert pause.standing() == {scope: "by root"}
        pause.pause("by the daemon", "dag.DAG1")
        assert pause.resume(scope) is True
        assert pause.standing() == {"dag.DAG1": "by the daemon"}

    assert as_nobody(of_the_daemon) == (0, "")


@pytest.mark.parametrize("scope", [EVERYTHING, MBX1])
def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path: Path, scope: str) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.prepare()
    precious = tmp_path / "precious"
    precious.write_text("of somebody else")
    file(pause, scope).symlink_to(precious)
    pause.pause("now", scope)
    assert precious.read_text() == "of somebody else"
    assert stat.S_ISREG(file(pause, scope).lstat().st_mode)
    assert pause.standing() == {scope: "now"}


def test_no_order_is_written_through_a_link_or_over_a_file(tmp_path: Path) -> None:
    """Whoever is root writes where others may: neither the directory nor a file in it is what it was taken for."""
    pause = PauseFile(tmp_path / "pause", SERVERS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    pause.directory.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"pause\.d"):
        pause.order("now", EVERYTHING, Terms(id=new_id()))
    assert (list(elsewhere.iterdir()), stat.S_IMODE(elsewhere.stat().st_mode)) == ([], 0o755)
    pause.directory.unlink()
    pause.directory.mkdir()
    (pause.directory / "everything@00c0ffee").symlink_to(elsewhere / "new")
    with pytest.raises(OSError, match="exists"):
        pause.order("now", EVERYTHING, Terms(id="00c0ffee"))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["pause", "pause.d", "pause.ordered", f"pause.d/{MBX1}"])
def test_a_link_that_leads_nowhere_pauses_what_it_is_about(tmp_path: Path, name: str) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    link = tmp_path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "nowhere")
    assert set(pause.standing()) == {MBX1 if MBX1 in name else EVERYTHING}


@pytest.mark.parametrize("scope", [EVERYTHING, MBX1])
def test_a_pause_that_dies_before_its_file_takes_its_place_leaves_the_one_before_it_and_adds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause("before", scope)

    def dies(*_paths: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    monkeypatch.setattr(Path, "unlink", dies)  # a process that is dead cleans nothing up
    with pytest.raises(KeyboardInterrupt):
        pause.pause("after", scope)
    assert PauseFile(pause.path, SERVERS).standing() == {scope: "before"}


def test_a_reason_that_is_no_text_pauses_all_the_same(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.pause(b"\xff".decode(errors="surrogateescape"))
    assert pause.standing() == {EVERYTHING: "\\udcff"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("scope", SCOPES)
def test_neither_a_pipe_nor_a_huge_file_holds_the_look_up(tmp_path: Path, scope: str) -> None:
    """Nobody writes to the pipe; the file has more bytes than there is memory, and no line end."""
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.directory.mkdir()
    entry = pause.directory / (scope or "everything")
    os.mkfifo(entry)
    assert set(pause.standing()) == {scope}
    entry.unlink()
    entry.touch()
    os.truncate(entry, 1 << 42)
    assert set(pause.standing()) == {scope}


ROOTS = Terms(id="00c0ffee", uid=0)


def standing_again(pause: PauseFile) -> dict[str, str]:
    """What the next daemon finds."""
    return dict(PauseFile(pause.path, SERVERS).standing())


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_file_taken_away_by_hand_ends_only_what_was_made_by_hand(tmp_path: Path, scope: str) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    by_hand = pause.path if scope == EVERYTHING else pause.directory / scope
    pause.prepare()
    by_hand.touch()
    assert set(pause.standing()) == {scope}
    by_hand.unlink()
    assert not pause.standing()
    ordered = pause.order("by root: smoke", scope, ROOTS)
    (found,) = pause.orders()
    assert (found.ordered, found.by_hand) == (False, False)
    await pause.keep(found)
    ordered.unlink()
    assert pause.standing() == standing_again(pause) == {scope: "by root: smoke"}
    for each in pause.ordered.iterdir():
        each.unlink()
    (found,) = pause.orders()
    assert (found.ordered, found.kept) == (True, False), "this daemon knows it, and the next one would not"
    await pause.keep(found)
    assert standing_again(pause) == {scope: "by root: smoke"}
    assert pause.resume(scope)
    assert not pause.standing()
    assert not standing_again(pause)


async def test_an_order_ends_when_its_time_is_over_and_says_whose_it_is(tmp_path: Path) -> None:
    now = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    times = [now]
    pause = PauseFile(tmp_path / "pause", SERVERS, lambda: times[0])
    pause.pause("for an hour", MBX1, Terms(id="00c0ffee", uid=7, until=now + timedelta(hours=1)))
    (found,) = pause.orders()
    assert (found.since, found.terms.uid, found.over) == (now, 7, False)
    times[0] += timedelta(hours=1)
    assert not pause.standing()
    (found,) = pause.orders()
    assert found.over
    await pause.drop(found)
    assert not pause.orders()
    assert not list(pause.ordered.iterdir())


@pytest.mark.parametrize("end", ["soon", "2026-12-01T03:00:00", 7, None])
def test_an_end_that_is_none_ends_nothing(tmp_path: Path, end: object) -> None:
    pause = PauseFile(tmp_path / "pause", SERVERS)
    pause.prepare()
    (pause.directory / "everything@00c0ffee").write_text(json.dumps({"why": 7, "until": end, "uid": "x", "since": []}))
    assert pause.standing() == {EVERYTHING: "7"}


@given(content=st.binary(max_size=400), entry=st.sampled_from(["everything@00c0ffee", "mbx1", "pause", "@", "x@y"]))
def test_whatever_is_in_a_file_it_pauses(content: bytes, entry: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        pause = PauseFile(Path(place) / "pause", SERVERS)
        pause.prepare()
        (pause.directory / entry).write_bytes(content)
        assert pause.reason(MBX1) is not None


def test_the_group_may_pause_and_nobody_takes_away_what_another_has_ordered(state: Path) -> None:
    pause = PauseFile(state / "pause", SERVERS)
    pause.order("by root", EVERYTHING, ROOTS)
    pause.prepare()
    directory, ordered = pause.directory.stat(), pause.ordered.stat()
    assert (directory.st_uid, directory.st_gid, stat.S_IMODE(directory.st_mode)) == (NOBODY, NOBODY, OPEN_TO_THE_GROUP)
    assert (ordered.st_uid, stat.S_IMODE(ordered.st_mode)) == (NOBODY, OF_THE_DAEMON)
    for place, mode in ((state, 0o750), (pause.directory, OPEN_TO_THE_GROUP), (pause.ordered, OF_THE_DAEMON)):
        os.chown(place, 1, NOBODY)  # the daemon's user is another one, and nobody is of its group
        place.chmod(mode)

    def of_the_group() -> None:
        file = pause.order("by nobody", MBX1, Terms(id="0000beef", uid=NOBODY))
        assert pause.standing() == {EVERYTHING: "by root", MBX1: "by nobody"}
        with pytest.raises(PermissionError):
            pause.resume()
        assert pause.resume(MBX1), "what it has ordered itself, and the daemon does not know yet"
        assert not file.exists()

    assert as_nobody(of_the_group) == (0, "")
    pause.resume()
    assert not pause.standing()
