"""The script that brings SCOM's alerts to the broker, run by a real PowerShell against a real broker."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_pwsh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
from tree_sitter import Language, Parser
from typer.testing import CliRunner

from daemon.adapters.mqtt.bus import MqttBus
from daemon.alerts.publisher import NAME, script
from daemon.cli import app
from daemon.config.settings import BusSettings, BusTls, Secret
from daemon.lab.pwsh.finding import find_pwsh
from daemon.runtime.tasks import cancel
from tests.alerts.test_payloads import parse_scom
from tests.realparts.certificates import Certificates, make_certificates
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import HANG, eventually

StartMosquitto = Callable[..., Mosquitto]

SCRIPT = Path(str(resources("daemon.alerts.publisher"))) / NAME

TOPIC = "alerts/scom/site"
ID = "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10"
PASSWORD = "hunter2-\N{LATIN SMALL LETTER E WITH ACUTE}-secret"
NOT_ASCII = "L\N{LATIN SMALL LETTER E WITH ACUTE}gende \N{EURO SIGN} \N{CJK UNIFIED IDEOGRAPH-65E5} \N{WRENCH}"

#: Played: SCOM's module, as far as the script asks it. A text carries what PowerShell hangs on some.
MODULE = r"""
function Get-SCOMAlert {
    param([guid[]] $Id, [string] $Criteria, [string[]] $ComputerName)
    if ($ComputerName -ne 'localhost') { throw "the Data Access service on $ComputerName does not answer" }
    [IO.File]::WriteAllText("$PSScriptRoot/asked", $Criteria)
    foreach ($one in @([IO.File]::ReadAllText("$PSScriptRoot/alerts.json") | ConvertFrom-Json)) {
        if ($Id -and $Id -notcontains [guid] $one.Id) { continue }
        $name = $one.Name | Add-Member -NotePropertyName PSPath -NotePropertyValue 'C:\x' -PassThru
        $raised = [datetime]::SpecifyKind([datetime] $one.TimeRaised, 'Unspecified')
        $changed = [datetime]::SpecifyKind([datetime] $one.LastModified, 'Utc')
        [pscustomobject] @{
            Id = [guid] $one.Id; Name = $name; Description = $one.Description; Severity = [DayOfWeek] 'Tuesday'
            ResolutionState = [byte] $one.ResolutionState; PrincipalName = $one.PrincipalName
            NetbiosComputerName = $null
            TimeRaised = $raised; LastModified = $changed; RepeatCount = [int] $one.RepeatCount
            MonitoringObjectInMaintenanceMode = $false; CustomField1 = 'secret of another'
        }
    }
}
Export-ModuleMember Get-SCOMAlert
"""

#: Played: a file's rights, as Windows tells them.
RIGHTS = r"""
function Get-Acl {
    param([string] $LiteralPath)
    $found = New-Object psobject
    $found | Add-Member ScriptMethod GetAccessRules {
        @([pscustomobject] @{ AccessControlType = 'Allow'; IdentityReference = $env:MAY_READ })
    } -PassThru
}
Export-ModuleMember Get-Acl
"""


def alert(number: int = 0, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {
        "Id": f"{ID[:-2]}{number:02}",
        "Name": f"POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePop3) - {NOT_ASCII}",
        "Description": 'a "quoted" \\ <text>\r\nof two lines',
        "ResolutionState": 0,
        "PrincipalName": "mbx1.contoso.com",
        "TimeRaised": "2026-11-05T03:14:15",
        "LastModified": f"2026-11-05T03:20:{number:02}.123",
        "RepeatCount": 0,
        **fields,
    }


@pytest.fixture
def pwsh() -> Path:
    """Tests that ask for it are left out where there is none."""
    found = find_pwsh()
    assert found is not None
    return found


@pytest.fixture
def scom(tmp_path: Path) -> Path:
    """A folder of modules with SCOM's; `alerts.json` in it is what SCOM has."""
    folder = tmp_path / "modules" / "OperationsManager"
    folder.mkdir(parents=True)
    (folder / "OperationsManager.psm1").write_text(MODULE)
    return folder


class Publisher:
    """Runs the script against a broker, with the modules of a folder."""

    def __init__(self, pwsh: Path, broker: Mosquitto, modules: Path | None = None, host: str = "127.0.0.1") -> None:
        self._start = [pwsh, "-NoProfile", "-NonInteractive", "-File", SCRIPT, "-Broker", host, "-Port", broker.port]
        self._env = {"PSModulePath": str(modules)} if modules else {}

    async def __call__(self, *arguments: object, **env: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            [str(word) for word in (*self._start, *arguments)],
            env={**os.environ, **self._env, **env},
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )


def protected(start: StartMosquitto, files: Certificates, folder: Path) -> tuple[Mosquitto, Path]:
    """A broker that wants TLS, a client's certificate and a password; and the file that holds the password."""
    passwords = folder / "passwords"
    passwords.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "scom", PASSWORD], check=True)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "exmedic", PASSWORD], check=True)
    tls = f"cafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true"
    credentials = folder / "mosquitto_pub"
    credentials.write_text(f"-u scom\n-P {PASSWORD}\n--cert {files.client}\n--key {files.client_key}\n", "utf-8")
    return start(tls, f"allow_anonymous false\npassword_file {passwords}"), credentials


def pfx(files: Certificates) -> Path:
    """The client's certificate with its key, as Windows likes it."""
    file = files.client.with_suffix(".pfx")
    key = serialization.load_pem_private_key(files.client_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = load_pem_x509_certificate(files.client.read_bytes())
    file.write_bytes(
        pkcs12.serialize_key_and_certificates(b"client", key, certificate, None, serialization.NoEncryption())
    )
    return file


def in_one_line(ended: "subprocess.CompletedProcess[str]") -> str:
    """The reason on standard error, which is one line."""
    (line,) = ended.stderr.splitlines()
    return line


def mosquitto_pub() -> str:
    found = shutil.which("mosquitto_pub")
    assert found, "mosquitto_pub is not installed, and these tests need the real one: make system-test"
    return found


@pytest.mark.parametrize("program", [False, True], ids=["by socket", "by mosquitto_pub"])
async def test_the_bytes_of_a_file_arrive_as_they_are(
    pwsh: Path, mosquitto: Mosquitto, tmp_path: Path, program: bool
) -> None:
    payload = json.dumps({"Name": NOT_ASCII * 5000}, indent=1, ensure_ascii=False).encode()
    file = tmp_path / "an alert.json"
    file.write_bytes(payload)
    way = ("-MosquittoPub", mosquitto_pub()) if program else ()
    async with mosquitto.listen("alerts/#") as inbox:
        ended = await Publisher(pwsh, mosquitto)("-Path", file, *way)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert await inbox.get() == (TOPIC, payload)


async def test_an_alert_of_scom_arrives_as_exmedic_reads_it(pwsh: Path, mosquitto: Mosquitto, scom: Path) -> None:
    (scom / "alerts.json").write_text(json.dumps([alert(1), alert(0)]), "utf-8")
    async with mosquitto.listen("alerts/#") as inbox:
        ended = await Publisher(pwsh, mosquitto, scom.parent)("-AlertId", f"{{{alert(1)['Id'].upper()}}}")
        assert (ended.returncode, ended.stderr) == (0, "")
        _, payload = await inbox.get()
    told, read = json.loads(payload.decode("utf-8")), parse_scom(payload)
    assert (read.server, read.health_set, read.monitor) == ("mbx1.contoso.com", "POP.Protocol", "PopDeepTestMonitor")
    assert read.raised_at == datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)
    wanted = {**alert(1), "TimeRaised": "2026-11-05T03:14:15.000Z", "LastModified": "2026-11-05T03:20:01.123Z"}
    assert told == {**wanted, "Severity": "Tuesday", "MonitoringObjectInMaintenanceMode": False}


async def test_what_changed_since_the_last_run_is_published_one_message_each_and_the_next_run_begins_there(
    pwsh: Path, mosquitto: Mosquitto, scom: Path, tmp_path: Path
) -> None:
    (scom / "alerts.json").write_text(json.dumps([alert(2), alert(1)]), "utf-8")
    kept, wanted = tmp_path / "last.txt", ("-Criteria", "PrincipalName LIKE 'mbx%'")
    publish = Publisher(pwsh, mosquitto, scom.parent)
    async with mosquitto.listen("alerts/#") as inbox:
        ended = await publish("-ChangedSince", kept, *wanted)
        assert (ended.returncode, ended.stderr) == (0, "")
        ids = [json.loads((await inbox.get())[1])["Id"] for _ in range(2)]
    assert ids == [alert(1)["Id"], alert(2)["Id"]], "in the order they changed"
    assert kept.read_text() == "2026-11-05T03:20:02.123Z"
    (scom / "alerts.json").write_text("[]")
    assert (await publish("-ChangedSince", kept, *wanted)).returncode == 0
    asked = (scom / "asked").read_text()
    assert asked == "LastModified >= '11/05/2026 03:19:02' AND (PrincipalName LIKE 'mbx%')"
    assert kept.read_text() == "2026-11-05T03:20:02.123Z", "nothing new: it begins there again"


async def test_what_nobody_has_subscribed_to_is_told_and_the_next_run_publishes_it(
    pwsh: Path, mosquitto: Mosquitto, scom: Path, tmp_path: Path
) -> None:
    (scom / "alerts.json").write_text(json.dumps([alert(1)]), "utf-8")
    kept = tmp_path / "last.txt"
    ended = await Publisher(pwsh, mosquitto, scom.parent)("-ChangedSince", kept, "-Criteria", "Severity = 2")
    assert ended.returncode == 4
    assert f"nobody has subscribed to {TOPIC}" in in_one_line(ended)
    assert not kept.exists()


@pytest.mark.parametrize("program", [False, True], ids=["by socket", "by mosquitto_pub"])
async def test_over_tls_with_a_certificate_and_a_password_that_stand_in_files(
    pwsh: Path, start_mosquitto: StartMosquitto, tmp_path: Path, program: bool
) -> None:
    files = make_certificates(tmp_path)
    broker, credentials = protected(start_mosquitto, files, tmp_path)
    file = tmp_path / "alert.json"
    file.write_bytes(b"{}")
    way = ("-MosquittoPub", mosquitto_pub()) if program else ("-Certificate", pfx(files))
    tls = BusTls(ca=files.ca, certificate=files.client, key=files.client_key)
    settings = BusSettings(port=broker.port, tls=tls, username="exmedic", password=Secret(credential="bus"))
    bus = MqttBus(settings, lambda _: PASSWORD)
    running = asyncio.create_task(bus.run())
    try:
        options = ("-Path", file, "-CredentialFile", credentials, "-CaFile", files.ca, *way)
        await eventually(lambda: bus.connected, "the bus is connected")
        ended = await Publisher(pwsh, broker)(*options)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert (await anext(bus.deliveries())).payload == b"{}"
    finally:
        await cancel(running)
    assert any("u'scom'" in line for line in broker.log)


@pytest.mark.parametrize("wrong", ["authority", "name", "system"])
async def test_a_broker_whose_certificate_does_not_fit_gets_no_password(
    pwsh: Path, start_mosquitto: StartMosquitto, tmp_path: Path, wrong: str
) -> None:
    files = make_certificates(tmp_path)
    broker, credentials = protected(start_mosquitto, files, tmp_path)
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other").ca  # of the same name
    authority = {"authority": ("-CaFile", other), "name": ("-CaFile", files.ca), "system": ("-Tls",)}[wrong]
    publish = Publisher(pwsh, broker, host="localhost" if wrong == "name" else "127.0.0.1")
    (tmp_path / "alert.json").write_bytes(b"{}")
    shown = ("-Path", tmp_path / "alert.json", "-CredentialFile", credentials, "-Certificate", pfx(files))
    ended = await publish(*shown, *authority)
    assert ended.returncode == 3, ended.stdout
    assert "certificate" in in_one_line(ended)
    assert not any("u'scom'" in line for line in broker.log)


@pytest.mark.parametrize("program", [False, True], ids=["by socket", "by mosquitto_pub"])
async def test_what_the_broker_refuses_is_an_exit_code_and_a_line_without_the_password(
    pwsh: Path, start_mosquitto: StartMosquitto, tmp_path: Path, program: bool
) -> None:
    access, file, credentials = tmp_path / "acl", tmp_path / "alert.json", tmp_path / "mosquitto_pub"
    access.write_text("topic read #\n")
    file.write_bytes(b"{}")
    credentials.write_text(f"-u scom\n-P {PASSWORD}\n", "utf-8")
    way = ("-MosquittoPub", mosquitto_pub()) if program else ()
    publish = Publisher(pwsh, start_mosquitto(f"acl_file {access}"))
    ended = await publish("-Path", file, "-CredentialFile", credentials, *way)
    assert ended.returncode == 3
    assert "not authori" in in_one_line(ended).lower()
    assert PASSWORD not in ended.stdout + ended.stderr
    if not program:
        wrong = start_mosquitto(access="allow_anonymous false")
        ended = await Publisher(pwsh, wrong)("-Path", file, "-CredentialFile", credentials)
        assert (ended.returncode, "refused the connection" in in_one_line(ended)) == (3, True)


async def test_what_cannot_be_done_has_its_own_exit_code(
    pwsh: Path, mosquitto: Mosquitto, scom: Path, tmp_path: Path
) -> None:
    (scom / "alerts.json").write_text("[]")
    publish = Publisher(pwsh, mosquitto, scom.parent)
    for code, said, arguments in (
        (1, "is not the Id of an alert", ("-AlertId", "Not Present")),
        (2, "has no alert", ("-AlertId", ID)),
        (2, "does not answer", ("-AlertId", ID, "-ManagementServer", "ms2")),
        (1, "there is no file", ("-Path", tmp_path / "nothing")),
    ):
        ended = await publish(*arguments)
        assert (ended.returncode, said in in_one_line(ended)) == (code, True), ended.stderr
    mosquitto.kill()
    (scom / "alerts.json").write_text(json.dumps([alert()]), "utf-8")
    ended = await publish("-AlertId", alert()["Id"])
    assert (ended.returncode, f"127.0.0.1:{mosquitto.port}" in in_one_line(ended)) == (3, True)


@pytest.mark.parametrize(("who", "code"), [("S-1-5-32-545", 1), ("S-1-5-32-544", 4)])
async def test_on_windows_a_password_that_every_user_may_read_is_not_used(
    pwsh: Path, mosquitto: Mosquitto, tmp_path: Path, who: str, code: int
) -> None:
    folder = tmp_path / "modules" / "Rights"
    folder.mkdir(parents=True)
    (folder / "Rights.psm1").write_text(RIGHTS)
    (folder / "Rights.psd1").write_text("@{ModuleVersion='1.0';RootModule='Rights.psm1';FunctionsToExport='Get-Acl'}")
    file, credentials = tmp_path / "alert.json", tmp_path / "mosquitto_pub.conf"
    file.write_bytes(b"{}")
    credentials.write_text("-u scom\n-P x\n")
    publish = Publisher(pwsh, mosquitto, folder.parent)
    ended = await publish("-Path", file, "-CredentialFile", credentials, OS="Windows_NT", MAY_READ=who)
    assert ended.returncode == code, ended.stderr
    assert ("icacls" in in_one_line(ended)) is (code == 1)


def test_the_command_prints_the_very_bytes_for_windows_powershell() -> None:
    printed = CliRunner().invoke(app, ["alert", "publisher"])
    assert (printed.exit_code, printed.stdout_bytes) == (0, script())
    assert printed.stdout_bytes.isascii(), "Windows PowerShell reads a file without a mark as the ANSI code page"


def test_it_is_written_for_windows_powershell_5_1() -> None:
    text = script().decode("ascii")
    tree = Parser(Language(tree_sitter_pwsh.language())).parse(script())
    assert not tree.root_node.has_error
    code = "\n".join(line for line in re.sub(r"<#.*?#>", "", text, flags=re.DOTALL).splitlines() if "#" not in line[:1])
    for newer in ("??", "?.", "&&", "||", " ? ", "-AsHashtable", "CustomRootTrust", "-Parallel", "-AsUTC"):
        assert newer not in code
