# The Windows side of this server: boot time, a restart that was asked for since, services. Changes nothing.
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

Complete-Call 'server_state' {
    $wanted = @(Get-Argument 'services')
    foreach ($name in $wanted) {
        if (([string] $name) -notmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z') {
            Stop-Call 'failed' "The argument 'services' holds something that is not a name."
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
    }
}
