"""The system's clock is set by an hour, forth and back, under a running daemon and between two."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import Site
from tests.acceptance.test_ladders import HEALED
from tests.realparts.faketime import SystemClockOf

HOUR = 3600

_READ_THE_CLOCK_AT_EACH_LINE = """
import sys
from daemon.adapters.clock import SystemClock
clock = SystemClock()
for _ in sys.stdin:
    print(clock.now().timestamp(), flush=True)
"""


def test_the_daemons_clock_goes_on_evenly_and_says_once_when_the_systems_was_set(tmp_path: Path) -> None:
    system = SystemClockOf(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _READ_THE_CLOCK_AT_EACH_LINE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **system.environment, "NO_COLOR": "1"},
    ) as process:
        assert process.stdin
        assert process.stdout
        lines = []
        began = time.monotonic()
        for offset in (0, HOUR, HOUR, -HOUR, 0):
            system.set_by(offset)
            process.stdin.write("\n")
            process.stdin.flush()
            while not (line := process.stdout.readline()).split(".")[0].isdigit():
                lines.append(line)
            lines.append(line)
        took = time.monotonic() - began
        process.stdin.close()
    readings = [float(line) for line in lines if line.split(".")[0].isdigit()]
    assert readings == sorted(readings)
    assert readings[-1] - readings[0] <= took
    said = [line for line in lines if "clock_set" in line]
    assert [f"seconds={offset}" in line for offset, line in zip((HOUR, -HOUR, 0), said, strict=True)] == [True] * 3


@pytest.mark.chaos
async def test_a_clock_that_is_set_while_a_ladder_runs_changes_nothing_in_it(site: Site, tmp_path: Path) -> None:
    server, system = "mbx4", SystemClockOf(tmp_path)
    site.environment.update(system.environment)
    site.lab.break_server(server, Fault.REBOOT_CURES)
    for script in ("restart_service", "reboot"):  # so that both are settled by evidence, under a clock just set
        site.lab.break_server(server, Fault.LATE_ANSWER, script=script, count=1, timeouts=100)
    daemon = await site.daemon()
    await site.alert(server)
    for effect, offset in (("restart", HOUR), ("stop_activation", -HOUR), ("reboot", HOUR)):
        # the default keeps this round's value; mypy cannot tell the type of such a lambda
        await site.eventually(lambda effect=effect: effect in site.effects(server), f"{effect} was sent")  # type: ignore[misc]
        system.set_by(offset)
    await site.until_ended(server)
    incident = await site.incident(server)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(server) == HEALED
    moments = [row.entry.at for row in await site.audit()]
    assert moments == sorted(moments), "the audit trail goes by one clock"
    assert moments[-1] - moments[0] < timedelta(hours=3), "nobody waited for the hour, and no deadline was over early"
    assert [event["seconds"] for event in logged(daemon.words(), "clock_set")] == [HOUR, -HOUR, HOUR]
    await site.agrees()


@pytest.mark.chaos
async def test_a_latch_is_looked_at_in_time_after_the_clock_was_set_back(site: Site, tmp_path: Path) -> None:
    system = SystemClockOf(tmp_path)
    site.environment.update(system.environment)
    site.configure(latch_recheck=300.0)
    site.lab.break_server("alone1", Fault.INCURABLE)
    await site.daemon()
    await site.alert("alone1")
    await site.until_ended("alone1")
    system.set_by(-HOUR)
    site.lab.cure("alone1")

    async def lifted(_: object) -> bool:
        return not (await site.incident("alone1")).latched

    await site.until(lifted, "the latch is lifted")
    assert site.effects_of(await site.incident("alone1")) == ["restart"]


@pytest.mark.chaos
@pytest.mark.parametrize("offset", [36, -36], ids=["an hour ahead", "an hour behind"])
async def test_a_daemon_started_with_a_clock_an_hour_off_does_nothing_twice_and_comes_to_an_end(
    site: Site, tmp_path: Path, offset: int
) -> None:
    # 36 seconds of the system's clock are an hour of the lab's. Waits and deadlines in the store are by the clock of
    # the daemon before, so an hour behind they take an hour longer, and an hour ahead they are over.
    server, system = "mbx4", SystemClockOf(tmp_path)
    site.environment.update(system.environment)
    site.lab.break_server(server, Fault.REBOOT_CURES)
    site.lab.break_server(server, Fault.LATE_ANSWER, script="reboot", count=1, timeouts=100)
    first = await site.daemon()
    await site.alert(server)
    await site.eventually(lambda: "reboot" in site.effects(server), "the reboot was sent")
    first.kill()
    system.set_by(offset)
    await site.daemon()
    await site.until_ended(server)
    incident = await site.incident(server)
    assert incident.status in (IncidentStatus.RESOLVED, IncidentStatus.ESCALATED)
    assert site.effects(server)[:3] == HEALED[:3]
    assert site.effects(server).count("reboot") == 1
    await site.agrees()


def logged(text: str, event: str) -> list[dict[str, Any]]:
    """The lines of a daemon's log about an event."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]
