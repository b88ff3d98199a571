# The Windows side of this server: boot time, a restart that was asked for since, services, who is logged on, whether
# a reboot is pending. Changes nothing.
# A service that is not installed is left out of the answer.

# Event 1074 of User32: somebody asked for a restart or a shutdown.
function Find-RestartRequest {
    param([datetime] $Since)
    $filter = @{ LogName = 'System'; ProviderName = 'User32'; Id = 1074; StartTime = $Since }
    try {
        $events = @(Get-WinEvent -FilterHashtable $filter -MaxEvents 1)
    }
    catch {
        if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') {
            return $null
        }
        throw
    }
    return Format-Moment $events[0].TimeCreated
}

function ConvertTo-Service {
    param($Service, $Processes)
    $started = $null
    $number = [int] $Service.ProcessId
    if ($number -ne 0) {
        foreach ($process in $Processes) {
            if ([int] $process.ProcessId -eq $number) {
                $started = Format-Moment $process.CreationDate
            }
        }
    }
    # Win32_Service says Auto, and "Stop Pending" with a space; the contract has Windows PowerShell's spelling.
    $startType = [string] $Service.StartMode
    if ($startType -eq 'Auto') {
        $startType = 'Automatic'
    }
    return @{
        name       = [string] $Service.Name
        status     = ([string] $Service.State).Replace(' ', '')
        start_type = $startType
        pid        = $number
        started_at = $started
    }
}

# Who is logged on at the console or by Remote Desktop. Network (this call itself), service and batch logons are not.
function Get-Logons {
    $how = @{ 2 = 'console'; 10 = 'remote'; 11 = 'console'; 12 = 'remote' }
    $names = @{}
    foreach ($link in @(Get-CimInstance -ClassName 'Win32_LoggedOnUser')) {
        $names[[string] $link.Dependent.LogonId] = [string] $link.Antecedent.Domain + '\' + [string] $link.Antecedent.Name
    }
    $alive = @{}
    foreach ($link in @(Get-CimInstance -ClassName 'Win32_SessionProcess')) {
        $alive[[string] $link.Antecedent.LogonId] = $true
    }
    $sees = $false
    $found = New-Object 'System.Collections.Generic.List[object]'
    foreach ($session in @(Get-CimInstance -ClassName 'Win32_LogonSession')) {
        $kind = [int] $session.LogonType
        $id = [string] $session.LogonId
        if (-not $how.ContainsKey($kind)) {
            continue
        }
        $account = [string] $names[$id]
        # Windows draws windows and fonts as these.
        if ($account -match '\\(DWM|UMFD)-[0-9]+\z') {
            $sees = $sees -or $alive.ContainsKey($id)
            continue
        }
        if ($account -eq '') {
            $account = 'an account without a name'
        }
        $found.Add(@{ id = $id; account = $account; how = $how[$kind]; since = $session.StartTime })
    }
    $people = @{}
    foreach ($one in $found) {
        # Windows keeps sessions of people who have logged off; they have no processes any more. Only believed when the
        # processes of Windows' own sessions show: without the rights nobody's do.
        if ($sees -and -not $alive.ContainsKey($one.id)) {
            continue
        }
        # One logon of an administrator makes two sessions.
        $known = $people[$one.account]
        if ($null -eq $known -or ($null -ne $one.since -and $one.since -lt $known.since)) {
            $people[$one.account] = $one
        }
    }
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($one in @($people.Values | Sort-Object -Property { $_.account })) {
        $since = $null
        if ($null -ne $one.since) {
            $since = Format-Moment $one.since
        }
        $answer.Add(@{ account = $one.account; how = $one.how; since = $since })
    }
    return @{ count = $people.Count; people = $answer.ToArray() }
}

# A key that may not be read is an error, not an absent one.
function Test-Key {
    param([string] $Path)
    $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($Path)
    if ($null -eq $key) {
        return $false
    }
    $key.Close()
    return $true
}

function Get-RebootPending {
    $renames = @()
    $manager = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Control\Session Manager')
    if ($null -ne $manager) {
        $renames = @($manager.GetValue('PendingFileRenameOperations'))
        $manager.Close()
    }
    $root = 'SOFTWARE\Microsoft\Windows\CurrentVersion'
    return @{
        servicing      = Test-Key "$root\Component Based Servicing\RebootPending"
        windows_update = Test-Key "$root\WindowsUpdate\Auto Update\RebootRequired"
        file_renames   = @($renames | Where-Object { $_ }).Count -gt 0
    }
}

Complete-Call 'server_state' {
    $wanted = @(Get-Argument 'services')
    foreach ($name in $wanted) {
        if (([string] $name) -notmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z') {
            Stop-Call 'broken' "The argument 'services' holds something that is not a name."
        }
    }
    $system = Get-CimInstance -ClassName 'Win32_OperatingSystem'
    $requested = Find-RestartRequest $system.LastBootUpTime
    $processes = @(Get-CimInstance -ClassName 'Win32_Process')
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($service in @(Get-CimInstance -ClassName 'Win32_Service')) {
        if ($wanted -contains $service.Name) {
            $answer.Add((ConvertTo-Service $service $processes))
        }
    }
    return @{
        boot_time            = Format-Moment $system.LastBootUpTime
        restart_requested_at = $requested
        services             = $answer.ToArray()
        logons               = Get-Logons
        reboot_pending       = Get-RebootPending
    }
}
