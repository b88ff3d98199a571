"""`exmedic pause`: the kill switch, which waits for nothing that it can do without, imports included."""

import os
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from daemon.app.pausing import may_run, pause_on_disk
from daemon.cli.asking import NotRunningError, asked
from daemon.cli.console import DEFAULT_CONFIG, Config, Dag, Reason, ServerPart, errors, out
from daemon.cli.times import span
from daemon.config.whereabouts import whereabouts
from daemon.domain.errors import ConfigError, OperatorError
from daemon.domain.pauses import Terms
from daemon.operators.users import user_name

CONFIRMED_WITHIN = 5.0  #: seconds that a daemon has to confirm a pause which is on the disk already
UNCONFIRMED = 4  #: exit code
_UNCONFIRMED = (
    "[bold red]exmedic:[/] paused on disk; the daemon has not confirmed, a step past its last look may still start. "
    "The order is {file}. Pause once more to have it confirmed, or kill the daemon: it starts paused. ({why})"
)

For = Annotated[str, typer.Option("--for", help="How long: 90s, 45m, 2h or 1d. Left out: until it is resumed.")]
Until = Annotated[str, typer.Option(help="Until when: 06:30, or a date and time; of this machine if it has no offset.")]


def pause(
    config: Config = DEFAULT_CONFIG,
    reason: Reason = "",
    server: ServerPart = "",
    dag: Dag = "",
    *,
    lasting: For = "",
    until: Until = "",
) -> None:
    """Pause everything, a server or a DAG: once this returns 0, no effect starts there, undo included.

    Reads and deadlines go on. The order is written first, whether a daemon runs, hangs or is away; a running one is
    asked to confirm. Exit code 4: it is on the disk, and not confirmed within 5 seconds. A step past its last look may
    still start then; none after it, and none after the next start of the daemon.
    """
    uid = os.getuid()
    end = _end(lasting, until, datetime.now(UTC))
    terms = Terms(id=os.urandom(4).hex(), uid=uid, until=end)
    where, obstacle, file = whereabouts(config), "", None
    try:
        file = pause_on_disk(config, f"by {user_name(uid)}: {reason or 'no reason given'}", server, dag, terms)
    except (ConfigError, OperatorError) as error:
        obstacle = str(error)
    request = {"command": "pause", "reason": reason, "server": server, "dag": dag, "order": terms.id}
    if end is not None:
        request["until"] = end.isoformat()
    try:
        answer = asked(where.socket, request, CONFIRMED_WITHIN)
    except OperatorError as error:
        if file is None:
            raise OperatorError(f"{error}. It is not on the disk either: {obstacle}") from error
        if isinstance(error, NotRunningError) and not may_run(where.data):
            # The file is what the next one looks for.
            out.print(f"[yellow]paused[/]: the daemon does not run; the order is {escape(str(file))}", soft_wrap=True)
            return
        errors.print(
            _UNCONFIRMED.format(file=escape(str(file)), why=escape(str(error))), highlight=False, soft_wrap=True
        )
        raise typer.Exit(UNCONFIRMED) from error
    what = f"{answer['scope']} " if answer.get("scope") else ""
    out.print(f"[yellow]paused[/] {escape(what + str(answer['paused']))}")


def _end(lasting: str, until: str, now: datetime) -> datetime | None:
    """When a pause ends by itself; None: when it is resumed."""
    if lasting and until:
        raise typer.BadParameter("give --for or --until, not both")
    if lasting:
        return now + span(lasting, "--for")
    if not until:
        return None
    try:
        clock = time.fromisoformat(until) if len(until) <= len("06:30:00") else None
        moment = datetime.fromisoformat(until) if clock is None else datetime.combine(now.astimezone(), clock)
    except ValueError as error:
        raise typer.BadParameter(f"--until {until} is no time; such as 06:30 or 2026-11-05T22:00") from error
    moment = moment.astimezone()  # one without an offset is of this machine
    if clock is not None and moment <= now:
        moment = (moment + timedelta(days=1)).astimezone()
    if moment <= now:
        raise typer.BadParameter(f"--until {until} is over")
    return moment.astimezone(UTC)
