"""The kill switch, raced: after `pause` has returned, no effect starts and none is just being sent."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.pause import REASON_LIMIT, PauseFile

TRIALS = 1_000
SENDERS = 3
SLOW = 0.002  # seconds that a slow effect takes to be sent


@pytest.fixture
def quick_switching() -> Iterator[None]:
    """Threads take turns ten times as often as usual, so that they meet in more ways."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 10)
    yield
    sys.setswitchinterval(before)


class Race:
    """One trial: some threads send, one of them slowly and the others as fast as they can, and one pauses."""

    def __init__(self, path: Path) -> None:
        self.pause = PauseFile(path)
        self.returned = threading.Event()
        self.started = threading.Semaphore(0)
        self.sent = 0
        self.too_late = 0

    def send(self, lasting: float) -> None:
        begun = False
        while True:
            with self.pause.permit() as allowed:
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
        self.pause.pause("now")
        self.returned.set()


@pytest.mark.usefixtures("quick_switching")
def test_after_pause_returns_no_permit_allows_in_a_thousand_races(tmp_path: Path) -> None:
    sent = 0
    with ThreadPoolExecutor(SENDERS + 1) as threads:
        for trial in range(TRIALS):
            race = Race(tmp_path / f"pause-{trial}")
            running = [threads.submit(race.send, 0.0 if number else SLOW) for number in range(SENDERS)]
            running.append(threads.submit(race.stop))
            for each in running:
                each.result(timeout=20)
            assert race.too_late == 0, f"trial {trial}: an effect was being sent after the pause had returned"
            sent += race.sent
    assert sent >= TRIALS, "the senders never sent: nothing was raced"


def test_pause_waits_for_an_effect_that_is_being_sent(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause")
    with ThreadPoolExecutor(1) as threads:
        with pause.permit() as allowed:
            assert allowed
            stopping = threads.submit(pause.pause, "now")
            with pytest.raises(TimeoutError):
                stopping.result(timeout=0.1)
        stopping.result(timeout=20)
    with pause.permit() as allowed:
        assert not allowed


def test_a_send_that_fails_does_not_keep_a_pause_waiting(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause")
    with pytest.raises(ConnectionError), pause.permit():
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
    PauseFile(tmp_path / "pause").pause("now")
    # A power cut may otherwise forget the file, or that there is one, and the next start would act.
    assert synced == [(tmp_path / "pause").stat().st_ino, tmp_path.stat().st_ino]


def test_whatever_cannot_be_looked_at_is_paused(tmp_path: Path) -> None:
    directory = tmp_path / "pause-directory"
    directory.mkdir()
    for path in (directory, tmp_path / "missing" / "pause", tmp_path / ("x" * 300)):
        pause = PauseFile(path)
        assert pause.reason() is not None, path
        with pause.permit() as allowed:
            assert not allowed


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n \n", b"x" * 10_000])
def test_a_file_with_anything_in_it_pauses(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pause"
    path.write_bytes(content)
    reason = PauseFile(path).reason()
    assert reason
    assert len(reason) <= max(REASON_LIMIT, len(str(path)) + 50)


def test_resuming_removes_the_file_and_says_whether_there_was_one(tmp_path: Path) -> None:
    pause = PauseFile(tmp_path / "pause")
    pause.pause("now")
    assert pause.resume() is True
    assert pause.resume() is False
    with pause.permit() as allowed:
        assert allowed
