"""`exmedic pause`: the kill switch, which waits for nothing that it can do without, imports included."""

import os

import typer
from rich.markup import escape

from daemon.app.pausing import may_run, pause_on_disk
from daemon.cli.asking import NotRunningError, asked
from daemon.cli.console import DEFAULT_CONFIG, Config, Dag, Reason, ServerPart, errors, out
from daemon.config.whereabouts import whereabouts
from daemon.domain.errors import ConfigError, OperatorError
from daemon.operators.users import user_name

CONFIRMED_WITHIN = 5.0  #: seconds that a daemon has to confirm a pause which is on the disk already
UNCONFIRMED = 4  #: exit code
_UNCONFIRMED = (
    "[bold red]exmedic:[/] paused on disk: wrote {file}; the daemon has not confirmed: a step past its last look may "
    "still start. Pause once more to have it confirmed, or kill the daemon: it starts paused. ({why})"
)


def pause(config: Config = DEFAULT_CONFIG, reason: Reason = "", server: ServerPart = "", dag: Dag = "") -> None:
    """Pause everything, a server or a DAG: once this returns 0, no effect starts there, undo included.

    Reads and deadlines go on. The pause file is written first, whether a daemon runs, hangs or is away; a running one
    is asked to confirm. Exit code 4: it is on the disk, and not confirmed within 5 seconds. A step past its last look
    may still start then; none after it, and none after the next start of the daemon.
    """
    where, obstacle, file = whereabouts(config), "", None
    try:
        file = pause_on_disk(config, f"by {user_name(os.getuid())}: {reason or 'no reason given'}", server, dag)
    except (ConfigError, OperatorError) as error:
        obstacle = str(error)
    request = {"command": "pause", "reason": reason, "server": server, "dag": dag}
    try:
        answer = asked(where.socket, request, CONFIRMED_WITHIN)
    except OperatorError as error:
        if file is None:
            raise OperatorError(f"{error}. It is not on the disk either: {obstacle}") from error
        if isinstance(error, NotRunningError) and not may_run(where.data):
            # The file is what the next one looks for.
            out.print(f"[yellow]paused[/]: the daemon does not run; wrote {escape(str(file))}", soft_wrap=True)
            return
        errors.print(
            _UNCONFIRMED.format(file=escape(str(file)), why=escape(str(error))), highlight=False, soft_wrap=True
        )
        raise typer.Exit(UNCONFIRMED) from error
    what = f"{answer['scope']} " if answer.get("scope") else ""
    out.print(f"[yellow]paused[/] {escape(what + str(answer['paused']))}")
