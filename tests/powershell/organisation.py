"""The organisation that the scripts are run in, and what each is asked as a rule."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.lab.pwsh.world import FOLDER, Database, Server, Site, log_on, world_of

Json = dict[str, Any]

DOMAIN = "contoso.lab"
MBX1, MBX2, CAS1, CAS2 = (f"{name}.{DOMAIN}" for name in ("mbx1", "mbx2", "cas1", "cas2"))
POP = "MSExchangePOP3BE"
#: With what has a meaning in expressions, and a blank, at which lines are broken.
PASSWORD = "Pa55 (of) th3 l.ab+$1"
STEP = "i7.3"

SITE = Site(
    servers=[
        Server(name=MBX1, site="Lyon", mailbox=True, client_access=False, dag="DAG1"),
        Server(name=MBX2, site="Lyon", mailbox=True, client_access=False, dag="DAG1"),
        Server(name=CAS1, site="Lyon", mailbox=False, client_access=True),
        Server(name=CAS2, site="Lyon", mailbox=False, client_access=True),
    ],
    databases=[
        Database(name="DB1", servers=["MBX1", "MBX2"]),
        Database(name="DB2", servers=["MBX1", "MBX2"]),
        Database(name="DB3", servers=["MBX2", "MBX1"]),
    ],
    password=PASSWORD,
)

CULTURES = ("en-US", "fr-FR", "de-DE", "tr-TR", "th-TH", "ar-SA")


def ago(seconds: float) -> str:
    """A time before the call; in a world and in arguments, which must stay the same text from run to run."""
    return f"<{seconds} s ago>"


def ticks_ago(seconds: float) -> str:
    """The same in the units of the registry."""
    return f"<{seconds} s ago in ticks>"


def at_last(document: Any, now: datetime | None = None) -> Any:  # noqa: ANN401 - any JSON
    """The same JSON with the times of `ago` in it."""
    now = now or datetime.now(UTC)

    def moment(found: re.Match[str]) -> str:
        return (now - timedelta(seconds=float(found[1]))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def ticks(found: re.Match[str]) -> str:
        since = now - timedelta(seconds=float(found[1])) - datetime(1, 1, 1, tzinfo=UTC)
        return str(since // timedelta(microseconds=1) * 10)

    text = re.sub(r"<(-?[\d.]+) s ago in ticks>", ticks, json.dumps(document, ensure_ascii=False))
    return json.loads(re.sub(r"<(-?[\d.]+) s ago>", moment, text))


_ABOUT = {"server": MBX1}
_LATE = "2999-01-01T00:00:00Z"

#: What each script is asked unless a case says otherwise.
ARGUMENTS: dict[str, Json] = {
    "server_health": {**_ABOUT, "health_sets": ["POP*"]},
    "invoke_probe": {**_ABOUT, "health_set": "POP.Protocol", "probe": "PopDeepTestProbe"},
    "database_copies": _ABOUT,
    "set_activation": {**_ABOUT, "expected": False, "value": True, "not_after": _LATE},
    "server_state": {"services": [POP, "MSExchangeIS"]},
    "restart_service": {"service": POP, "stop_timeout": 60, "not_after": _LATE},
    "reboot": {"server": CAS1, "mailbox": False, "not_after": _LATE},
    "step_running": {"step": "i7.2"},
    "exchange_server": _ABOUT,
    "dag_health": _ABOUT,
    "recovery_log": {"hours": 6},
    "pop_settings": _ABOUT,
    "set_protocol_log": {**_ABOUT, "expected": False, "value": True, "not_after": _LATE},
    "protocol_log": {"folder": FOLDER, "since": ago(7200), "until": ago(-60), "users": ["HealthMailbox*"]},
    "organisation": {},
}

COLUMNS = "dateTime,sessionId,seqNumber,sIp,cIp,user,duration,rqsize,rpsize,command,parameters,context,puid"


def log_line(seconds: float, session: str, user: str, parameters: str) -> str:
    """A line of a POP protocol log."""
    return f"{ago(seconds)},{session},1,127.0.0.1:995,127.0.0.1:4711,{user},5,10,20,user,{parameters},R=ok,"


def healthy(host: str = MBX2, culture: str = "en-US") -> Json:
    """A healthy organisation as MBX2 sees it, with a POP log of two sessions, and an administrator logged on."""
    world = world_of(SITE, host=host, culture=culture)
    for windows in world["hosts"].values():
        log_on(windows["cim"], "501", "CONTOSO\\maria", kind=10)
    lines = [
        "#Software: Microsoft Exchange Server",
        f"#Fields: {COLUMNS}",
        log_line(600, "0001", "HealthMailbox7@contoso.lab", "HealthMailbox7"),
        log_line(590, "0002", "anna@contoso.lab", "anna"),
    ]
    world["files"][f"{FOLDER}/POP20261130.log"] = "\r\n".join(lines) + "\r\n"
    return world
