# Restarts one Windows service of this server, with the services that depend on it and were running. Never changes a
# start type. A service that does not stop in time is left as it is: error kind `hung`.

$startSeconds = 60

# Windows' own words for a service that does not answer (1053), or takes no orders now (1061).
function Test-Unresponsive {
    param($Exception)
    while ($null -ne $Exception) {
        if ($Exception -is [System.ComponentModel.Win32Exception] -and 1053, 1061 -contains $Exception.NativeErrorCode) {
            return $true
        }
        $Exception = $Exception.InnerException
    }
    return $false
}

function Stop-Within {
    param($Service, [datetime] $Limit)
    $Service.Refresh()
    if ($Service.Status -ne 'Stopped' -and $Service.Status -ne 'StopPending') {
        try {
            Invoke-Effect { $Service.Stop() }
        }
        catch {
            if (Test-Unresponsive $_.Exception) {
                Stop-Call 'hung' "$($Service.ServiceName) does not do as it is told: $($_.Exception.Message)"
            }
            throw
        }
    }
    $left = $Limit - [datetime]::UtcNow
    if ($left.TotalSeconds -lt 1) {
        $left = [timespan]::FromSeconds(1)
    }
    try {
        $Service.WaitForStatus('Stopped', $left)
    }
    catch [System.ServiceProcess.TimeoutException] {
        $Service.Refresh()
        Stop-Call 'hung' "$($Service.ServiceName) did not stop in time; it is $($Service.Status)."
    }
}

function Start-Within {
    param($Service)
    $Service.Refresh()
    if ($Service.Status -ne 'Running' -and $Service.Status -ne 'StartPending') {
        Invoke-Effect { $Service.Start() }
    }
    try {
        $Service.WaitForStatus('Running', [timespan]::FromSeconds($startSeconds))
    }
    catch [System.ServiceProcess.TimeoutException] {
        $Service.Refresh()
        Stop-Call 'failed' "$($Service.ServiceName) was stopped and did not start; it is $($Service.Status)."
    }
}

function Find-Service {
    param([string] $Name)
    $found = @(Get-CimInstance -ClassName 'Win32_Service' | Where-Object -Property 'Name' -EQ -Value $Name)
    if ($found.Count -ne 1) {
        Stop-Call 'not_found' "This server has no service $Name."
    }
    return $found[0]
}

function Read-Service {
    param([string] $Name)
    $service = Find-Service $Name
    $number = [int] $service.ProcessId
    $process = @(Get-CimInstance -ClassName 'Win32_Process' | Where-Object -Property 'ProcessId' -EQ -Value $number)
    if ($number -eq 0 -or $process.Count -ne 1) {
        Stop-Call 'broken' "$Name was started and its process is gone again."
    }
    $startType = [string] $service.StartMode
    if ($startType -eq 'Auto') {
        $startType = 'Automatic'
    }
    return @{
        name       = [string] $service.Name
        status     = ([string] $service.State).Replace(' ', '')
        start_type = $startType
        pid        = $number
        started_at = Format-Moment $process[0].CreationDate
    }
}

Complete-Call 'restart_service' {
    $name = Get-NameArgument 'service'
    $seconds = [double] (Get-Argument 'stop_timeout')
    $before = Find-Service $name
    # Stopping what cannot be started again would turn a sick service into a dead one.
    if ($before.StartMode -eq 'Disabled') {
        Stop-Call 'conflict' "$name is disabled; nothing was done."
    }
    # Exchange leaves POP3 and IMAP4 on Manual and stopped where nobody meant them to run.
    if ($before.StartMode -ne 'Auto' -and $before.State -eq 'Stopped') {
        Stop-Call 'conflict' "$name is stopped and does not start by itself; nothing was done."
    }
    $service = Get-Service -Name $name
    $dependents = @($service.DependentServices | Where-Object -Property 'Status' -NE -Value 'Stopped')
    Assert-InTime
    $limit = [datetime]::UtcNow.AddSeconds($seconds)
    foreach ($dependent in $dependents) {
        Stop-Within $dependent $limit
    }
    Stop-Within $service $limit
    Start-Within $service
    # What Windows stopped last starts first.
    [array]::Reverse($dependents)
    foreach ($dependent in $dependents) {
        Start-Within $dependent
    }
    return @{ service = (Read-Service $name) }
}
