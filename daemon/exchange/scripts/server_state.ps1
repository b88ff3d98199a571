# The Windows side of this server: boot time, a restart that was asked for since, services, who is logged on, whether
# a reboot is pending. Changes nothing.
# A service that is not installed is left out of the answer. What else cannot be read is told as null: one of these facts
# must not cost the others.

# What a part of the answer is, or null where it cannot be read; why not is among the warnings.
function Get-Readable {
    param([scriptblock] $Part)
    try {
        return & $Part
    }
    catch {
        $context.warnings.Add((Hide-Secret (Get-Reason $_.Exception)))
        return $null
    }
}

# What was said with a requested restart: the sixth text of its event. Microsoft, event 1074 in "Understanding shutdown
# events".
function Get-Comment {
    param($Entry)
    $texts = @(foreach ($property in $Entry.Properties) { [string] $property.Value })
    if ($texts.Length -lt 6) {
        $texts = @(foreach ($node in ([xml] $Entry.ToXml()).SelectNodes("//*[local-name()='Data']")) { $node.InnerText })
    }
    if ($texts.Length -lt 6) {
        Stop-Call 'broken' "Event 1074 has $($texts.Length) texts, and its comment is the sixth."
    }
    return Hide-Secret $texts[5]
}

# Event 1074 of User32: somebody asked for a restart or a shutdown. Without the name of the provider in the filter, which
# would load that provider's own texts.
function Find-RestartRequest {
    param([datetime] $Since)
    $none = @{ at = $null; comment = $null }
    try {
        $events = @(Get-WinEvent -FilterHashtable @{ LogName = 'System'; Id = 1074; StartTime = $Since } -MaxEvents 20)
    }
    catch {
        if ($_.FullyQualifiedErrorId.StartsWith('NoMatchingEventsFound', [System.StringComparison]::Ordinal)) {
            return $none
        }
        throw
    }
    $asked = @($events | Where-Object -Property 'ProviderName' -EQ -Value 'User32')
    if ($asked.Length -eq 0) {
        return $none
    }
    return @{ at = Format-Moment $asked[0].TimeCreated; comment = Get-Readable { Get-Comment $asked[0] } }
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
    foreach ($link in @(Read-Windows 'Win32_LoggedOnUser')) {
        $names[[string] $link.Dependent.LogonId] = [string] $link.Antecedent.Domain + '\' + [string] $link.Antecedent.Name
    }
    $alive = @{}
    foreach ($link in @(Read-Windows 'Win32_SessionProcess')) {
        $alive[[string] $link.Antecedent.LogonId] = $true
    }
    $sees = $false
    $found = New-Object 'System.Collections.Generic.List[object]'
    foreach ($session in @(Read-Windows 'Win32_LogonSession')) {
        $kind = [int] $session.LogonType
        $id = [string] $session.LogonId
        if (-not $how.ContainsKey($kind)) {
            continue
        }
        $account = [string] $names[$id]
        # Windows draws windows and fonts as these.
        if ($account -cmatch '\\(DWM|UMFD)-[0-9]+\z') {
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
        $person = $one.account.ToLowerInvariant()
        $known = $people[$person]
        if ($null -eq $known -or ($null -ne $one.since -and $one.since -lt $known.since)) {
            $people[$person] = $one
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
        file_renames   = @($renames | Where-Object { $_ }).Length -gt 0
    }
}

# One value of a component's key: a number, the state and the time in ticks. What is written otherwise is unreadable.
function ConvertTo-Request {
    param([string] $Requester, [string] $Value)
    $request = @{ requester = $Requester; state = 'unreadable'; at = $null }
    $parts = $Value.Split(':')
    $states = @{ '0' = 'Inactive'; '1' = 'Active'; '2' = 'Draining' }
    $ticks = [int64] 0
    if ($parts.Length -ne 3 -or -not [int64]::TryParse($parts[2], [ref] $ticks)) {
        return $request
    }
    if ('Active', 'Inactive', 'Draining' -contains $parts[1]) {
        $request.state = $parts[1]
    }
    elseif ($states.ContainsKey($parts[1])) {
        $request.state = $states[$parts[1]]
    }
    if ($ticks -gt 0 -and $ticks -lt [datetime]::MaxValue.Ticks) {
        $request.at = Format-Moment (New-Object 'System.DateTime' -ArgumentList @($ticks, [System.DateTimeKind]::Utc))
    }
    return $request
}

# Who asked for which state of a component, as this server has it: the parts do not survive a session. The Exchange
# team's "Server Component States in Exchange 2013" has the place.
function Get-ComponentRequests {
    $path = 'SOFTWARE\Microsoft\ExchangeServer\v15\ServerComponentStates'
    $root = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($path)
    if ($null -eq $root) {
        return $null
    }
    $found = @{}
    foreach ($component in $root.GetSubKeyNames()) {
        $key = $root.OpenSubKey($component)
        $requests = New-Object 'System.Collections.Generic.List[object]'
        foreach ($requester in $key.GetValueNames()) {
            $requests.Add((ConvertTo-Request $requester ([string] $key.GetValue($requester))))
        }
        $key.Close()
        $found[$component] = $requests.ToArray()
    }
    $root.Close()
    return $found
}

Complete-Call 'server_state' {
    $wanted = @(Get-Argument 'services')
    foreach ($name in $wanted) {
        if (([string] $name) -cnotmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z') {
            Stop-Call 'broken' "The argument 'services' holds something that is not a name."
        }
    }
    $system = Read-Windows 'Win32_OperatingSystem'
    $requested = Get-Readable { Find-RestartRequest $system.LastBootUpTime }
    $readable = $null -ne $requested
    if (-not $readable) {
        $requested = @{ at = $null; comment = $null }
    }
    $processes = @(Read-Windows 'Win32_Process')
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($service in @(Read-Windows 'Win32_Service')) {
        if ($wanted -contains $service.Name) {
            $answer.Add((ConvertTo-Service $service $processes))
        }
    }
    return @{
        boot_time            = Format-Moment $system.LastBootUpTime
        restart_requested_at = $requested.at
        restart_comment      = $requested.comment
        restarts_readable    = $readable
        services             = $answer.ToArray()
        logons               = Get-Readable { Get-Logons }
        reboot_pending       = Get-Readable { Get-RebootPending }
        component_requests   = Get-Readable { Get-ComponentRequests }
    }
}
