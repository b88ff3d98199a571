"""The stubs are as strict as what they stand for: no later parameter, and rows as a session hands them over."""

from pathlib import Path
from typing import Any

import pytest

from daemon.exchange import launch
from daemon.lab.pwsh.shell import Shell
from daemon.lab.pwsh.world import GRANTED
from tests.powershell.bench import LOGON
from tests.powershell.organisation import MBX1, PASSWORD, Json, at_last, healthy

#: Opens a session as the prelude does, and calls one cmdlet in it.
SESSION = """
$logon = New-Object Management.Automation.PSCredential('CONTOSO\\exmedic', (New-Object Net.NetworkCredential('', 'PASSWORD')).SecurePassword)
$options = New-PSSessionOption {options}
$session = New-PSSession -ConfigurationName Microsoft.Exchange -ConnectionUri 'http://x/PowerShell/' -Authentication Kerberos -SessionOption $options -Credential $logon
$shell = [PowerShell]::Create()
$shell.Runspace = $session.Runspace
""".replace("PASSWORD", PASSWORD)  # noqa: E501 - a script


def told(pwsh: Shell, folder: Path, script: str, world: Json | None = None) -> str:
    """What a few lines write, in a world."""
    call = launch.Launch(
        "", ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-Command", f'"{script}"'), b""
    )
    ended = pwsh.run(call, at_last(world or healthy()), folder)
    return ended.stdout.decode() + ended.stderr.decode()


def in_session(pwsh: Shell, folder: Path, command: str, world: Json | None = None, options: str = "") -> str:
    """What a few lines write that have `$shell` in a session with Exchange."""
    return told(pwsh, folder, SESSION.format(options=options) + command, world)


@pytest.mark.powershell
@pytest.mark.parametrize(
    "line",
    [
        "Get-CimInstance Win32_Service -InformationAction Ignore",
        "Get-WinEvent -FilterHashtable @{LogName='System'} -PipelineVariable x",
        "Restart-Computer MBX1 -Confirm:$false -AsUser",
        "New-PSSessionOption -MaxConnectionRetryCount 2",
        "Get-Service -UserName x",
    ],
)
def test_a_parameter_that_powershell_3_lacks_is_refused(pwsh: Shell, folder: Path, line: str) -> None:
    said = told(pwsh, folder, "try { " + line + "; 'taken' } catch { $_.Exception.GetType().Name }")
    assert "ParameterBindingException" in said
    assert "taken" not in said


@pytest.mark.powershell
def test_a_session_runs_no_language_and_has_the_granted_cmdlets_alone(pwsh: Shell, folder: Path) -> None:
    lines = """
    function Try-It($way) { $shell.Commands.Clear(); & $way; try { [void] $shell.Invoke(); 'done' } catch { $_.Exception.InnerException.ErrorRecord.FullyQualifiedErrorId } }
    Try-It { [void] $shell.AddScript('1 + 1') }
    Try-It { [void] $shell.AddCommand('Get-Process') }
    Try-It { [void] $shell.AddCommand('Get-PopSettings') }
    """  # noqa: E501 - a script
    said = in_session(pwsh, folder, lines).split()
    assert said[0] != "done"
    assert said[1:] == ["CommandNotFoundException", "done"]


ROW = """
[void] $shell.AddCommand('{command}').AddParameter('Identity', '{identity}')
$row = @($shell.Invoke())[0]
"""


@pytest.mark.powershell
def test_rows_arrive_as_a_session_hands_them_over(pwsh: Shell, folder: Path) -> None:
    lines = (
        ROW.format(command="Get-ServerComponentState", identity=MBX1)
        + "$row.PSObject.TypeNames[0]; $row.State.GetType().Name; @($row.LocalStates)[0].ToString()"
    )
    said = in_session(pwsh, folder, lines).split()
    assert said == ["Deserialized.Exmedic.Lab.ServerComponentState", "String", "Exmedic.Lab.ServerComponentStateEntry"]


@pytest.mark.powershell
@pytest.mark.parametrize(
    ("options", "word"),
    [("", "R\u00e9ussite"), ("-Culture en-US -UICulture en-US", "Passed"), ("-Culture en-US", "R\u00e9ussite")],
)
def test_the_session_speaks_the_language_that_it_was_asked_for(
    pwsh: Shell, folder: Path, options: str, word: str
) -> None:
    world = healthy(culture="fr-FR")
    lines = ROW.format(command="Test-ReplicationHealth", identity=MBX1) + "$row.Result.ToString()"
    assert in_session(pwsh, folder, lines, world, options).split() == [word]


@pytest.mark.powershell
@pytest.mark.parametrize(
    ("plan", "line", "number"),
    [
        ({"on_stop": {"error": 1053}}, "$s.Stop()", "1053"),
        ({"status": "StartPending"}, "$s.Stop()", "1061"),
        ({"on_stop": {"open_error": 5}}, "$s.Stop()", "5"),
        ({"start_mode": "Disabled", "status": "Stopped"}, "$s.Start()", "1058"),
        ({"on_start": {"error": 1069}, "status": "Stopped"}, "$s.Start()", "1069"),
    ],
)
def test_a_service_throws_what_windows_throws(
    pwsh: Shell, folder: Path, plan: dict[str, Any], line: str, number: str
) -> None:
    world = healthy()
    world["hosts"][world["host"]]["services"]["MSExchangePOP3BE"].update(plan)
    lines = "$s = New-Object System.ServiceProcess.ServiceController('MSExchangePOP3BE'); try { " + line + " } catch "
    lines += "{ $e = $_.Exception; while ($e.InnerException) { $e = $e.InnerException }; $e.NativeErrorCode }"
    assert told(pwsh, folder, lines, world).split() == [number]


def test_every_granted_cmdlet_is_one_that_a_script_or_a_document_names() -> None:
    scripts = "".join(launch.load(name).text for name in launch.NAMES)
    assert {name for name in GRANTED if name not in scripts} <= {"Get-ExchangeCertificate"}
    assert LOGON.password == PASSWORD
