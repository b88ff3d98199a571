"""Each fault that was mended in the scripts, made again: a case must catch it, or it could come back unseen."""

from pathlib import Path

import pytest

from daemon.exchange import launch
from daemon.lab.pwsh.shell import Shell
from tests.powershell.bench import judge, play
from tests.powershell.test_cases import CASES

BY_ID = {case.id: case for case in CASES}

#: What is put in the place of what, and the case that must fail of it.
MUTANTS = {
    "a session speaks the server's language": (
        "dag_health: a failed check (fr-FR)",
        "-Culture 'en-US' -UICulture 'en-US' @limits",
        "@limits",
    ),
    "an answer that something was not found, after it was changed": (
        "set_activation: not found after the change",
        "$context.acted = $true",
        "$context.acted = $false",
    ),
    "a refused first change is told as lost": (
        "set_activation: the setter is not granted",
        "if ($first -and (Find-Kind",
        "if ($false -and (Find-Kind",
    ),
    "the read after the change decides": (
        "set_activation: the read afterwards fails",
        "$null -ne $problem -and $context.acted -and",
        "$false -and",
    ),
    "an empty list with a warning is evidence": (
        "reboot: no databases, no copies and a warning",
        "$warnings.Length -gt 0 -and -not $Warned",
        "$false",
    ),
    "a session that cannot be closed costs the answer": (
        "organisation: the session cannot be closed",
        "        $context.session = $null\n    }\n}",
        "        throw\n    }\n}",
    ),
    "our own password is not struck out": (
        "set_protocol_log: an error that quotes the password",
        "$clean = [regex]::Replace($clean, $pattern, '***')",
        "",
    ),
    "a time without an offset is taken": (
        "protocol_log: a time without an offset",
        "$value -is [datetime] -and $value.Kind -ne [System.DateTimeKind]::Unspecified",
        "$value -is [datetime]",
    ),
    "it is done although it is too late": ("reboot: too late", "        Assert-InTime\n", ""),
    "the reboot goes by DCOM": (
        "reboot: DCOM is closed, as it is by default",
        "Invoke-Effect { Restart-Windows $systems[0] $session }",
        "Invoke-Effect { Restart-Computer -ComputerName $server -Force }",
    ),
    "the logons cost all of the state": (
        "server_state: Win32_LogonSession is denied",
        "Get-Readable { Get-Logons }",
        "Get-Logons",
    ),
    "the registry costs all of the state": (
        "server_state: a key is denied",
        "Get-Readable { Get-RebootPending }",
        "Get-RebootPending",
    ),
    "the events cost all of the state": (
        "server_state: the event log is denied",
        "Get-Readable { Find-RestartRequest $system.LastBootUpTime }",
        "Find-RestartRequest $system.LastBootUpTime",
    ),
    "a provider's own texts are loaded": (
        "server_state: the provider's metadata cannot be loaded",
        "@{ LogName = 'System'; Id = 1074;",
        "@{ LogName = 'System'; ProviderName = 'User32'; Id = 1074;",
    ),
    "the requesters of a component are read from nowhere": (
        "server_state: who asked for the state of a component",
        "foreach ($requester in $key.GetValueNames())",
        "foreach ($requester in @())",
    ),
    "too many events block everything": (
        "recovery_log: more than 2,000",
        "        $truncated = $truncated -or $entries.Length -ge $most",
        "        if ($entries.Length -ge $most) { Stop-Call 'broken' 'too many' }",
    ),
    "dependents stay stopped, unnamed": (
        "restart_service: it hangs while it stops, with a dependent",
        "$told = Start-Owed (Get-Reason $problem.Exception)",
        "$told = Get-Reason $problem.Exception",
    ),
    "a disabled dependent is stopped": (
        "restart_service: a running dependent is disabled",
        "$dependent.ServiceName) 'StartMode') -eq 'Disabled'",
        "$dependent.ServiceName) 'StartMode') -eq 'Never'",
    ),
    "a start that is under way is not waited for": (
        "restart_service: it is just starting, and never ends",
        "        Wait-UntilStarted $each $limit\n",
        "",
    ),
    "1053 is no hang": (
        "restart_service: stop does not answer (1053)",
        "        if ($code -eq 1053) {",
        "        if ($code -eq 1) {",
    ),
    "a service whose start type is not told is restarted": (
        "restart_service: null",
        "    $mode = Get-Text $Service 'StartMode'",
        "    $mode = 'Auto'",
    ),
    "services are enumerated": (
        "restart_service: services may not be enumerated",
        "New-Object 'System.ServiceProcess.ServiceController' -ArgumentList $name",
        "Get-Service -Name $name",
    ),
    "a copy queue that is not known counts as short": (
        "database_copies: a stale queue beside a recovery database",
        "(Get-OptionalText $Row 'LastLogInfoIsStale') -eq 'True'",
        "$false",
    ),
    "a recovery database is one with a single copy": (
        "database_copies: a stale queue beside a recovery database",
        "if ((Get-OptionalText $database 'Recovery') -ne 'True') {",
        "if ($true) {",
    ),
    "front and back end are one log": (
        "protocol_log: beside it the back end's own, POPBE20261130.log",
        "-not (Test-BackEnd $_.Name)",
        "$true",
    ),
    "a number that is given again is the same session": (
        "protocol_log: somebody's session with the same number, after a start of the service",
        "$count -le $last[$key]",
        "$false",
    ),
    "a line with a cell less is not finished": (
        "protocol_log: lines of 12 cells below 13 names",
        "-not (Test-Finished $stream)",
        "(Split-Line $latest).Length -lt $columns.Length",
    ),
    "a recovery database forbids the reboot": (
        "reboot: a Mailbox server with a recovery database",
        "$recovery -notcontains",
        "'' -ne",
    ),
    "a refused logon goes on to the next server": (
        "reboot: WinRM says that the password has expired",
        "$code = $code -band 65535",
        "$code = 0",
    ),
    "an expected end that cannot be read costs the log": (
        "recovery_log: one whose worker died, and one whose expected end cannot be read",
        "expected_end = Read-EventMoment",
        "expected_end = ConvertTo-EventMoment",
    ),
    "a certificate whose time has not come is taken for the one in use": (
        "pop_settings: a certificate whose time has not come, and one whose time is over",
        "[string]::CompareOrdinal([string] $from, $now) -le 0",
        "$true",
    ),
    "one 1061 is a hang": (
        "restart_service: it takes no orders (1061) for a moment",
        "if ($try -ge 10 -or",
        "if ($true -or",
    ),
    "a password is not found where a line was broken at its blank": (
        "set_protocol_log: an error that quotes the password",
        "if (-not [char]::IsWhiteSpace($one)) {",
        "if ($true) {",
    ),
    "a reboot that nothing was sent for is told as lost": (
        "reboot: no row of the operating system",
        "if ($systems.Length -ne 1) {",
        "if ($false) {",
    ),
    "a database is called like a property": (
        "database_copies: a stale queue beside a recovery database",
        "$databases.get_Count()",
        "$databases.Count",
    ),
    "whoever gives such a name is taken for the probe": (
        "protocol_log: a logon refused before its user is known, and somebody else's",
        "return $itself -and $Name",
        "return $Name",
    ),
    "a logon refused before its user is known is lost": (
        "protocol_log: a logon refused before its user is known, and somebody else's",
        "return $itself -and $Name",
        "return $false -and $Name",
    ),
    "certificates that may not be read cost the settings": (
        "pop_settings: certificates that may not be read",
        "        return $null\n    }\n    return $state",
        "        throw\n    }\n    return $state",
    ),
    "one step is taken for another": ("step_running: one that begins the same", "(?![0-9a-z.-])", ""),
}


@pytest.mark.powershell
@pytest.mark.parametrize("what", MUTANTS)
def test_a_mended_fault_that_comes_back_is_caught(
    what: str, pwsh: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, find, put = MUTANTS[what]
    case = BY_ID[name]
    script = launch.load(case.script)
    assert script.text.count(find) == 1, f"what was mended is written differently now: {find}"
    mutant = launch.Script(script.name, script.text.replace(find, put), script.sha256)
    monkeypatch.setattr(launch, "load", lambda _: mutant)
    played = play(pwsh, case, folder)
    with pytest.raises(AssertionError):
        judge(case, played)
