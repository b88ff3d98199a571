# Restarts one Windows service of this server, with the services that depend on it and were running. Never changes a
# start type. A service that does not stop in time is left as it is: error kind `hung`. Of those that depend on it
# whatever was stopped is started again where that can be; what is left stopped is named.

$startSeconds = 60
$begun = [datetime]::UtcNow
# What was done so far, for whoever reads of a failure; and who of those that depend on it was stopped, the last first.
$done = New-Object 'System.Collections.Generic.List[string]'
$owed = New-Object 'System.Collections.Generic.Stack[object]'
# Windows PowerShell loads it with its first use of a service, and no script used one yet.
[void] [System.Reflection.Assembly]::LoadWithPartialName('System.ServiceProcess')

# Windows' own number for why it did not do something; 0 when it gave none.
function Find-Code {
    param($Exception)
    while ($null -ne $Exception) {
        if ($Exception -is [System.ComponentModel.Win32Exception]) {
            return [int] $Exception.NativeErrorCode
        }
        $Exception = $Exception.InnerException
    }
    return 0
}

# Ends with `hung` or `failed`, what was done, and how long it took.
function Stop-Restart {
    param([string] $Kind, [string] $Message)
    $told = $Message
    if ($done.Count -gt 0) {
        $told += ' Done before: ' + ($done.ToArray() -join ', ') + '.'
    }
    $seconds = [int] ([datetime]::UtcNow - $begun).TotalSeconds
    Stop-Call $Kind "$told It took $seconds s."
}

# Waits for a status at most until the limit, but a second; whether it came.
function Test-Reached {
    param($Service, [string] $Status, [datetime] $Limit)
    $left = $Limit - [datetime]::UtcNow
    if ($left.TotalSeconds -lt 1) {
        $left = [timespan]::FromSeconds(1)
    }
    try {
        $Service.WaitForStatus($Status, $left)
    }
    catch {
        # By PowerShell's own wrapping it may stand inside another.
        $exception = $_.Exception
        while ($null -ne $exception -and $exception -isnot [System.ServiceProcess.TimeoutException]) {
            $exception = $exception.InnerException
        }
        if ($null -eq $exception) {
            throw
        }
    }
    $Service.Refresh()
    return [string] $Service.Status -eq $Status
}

# A service that is just starting takes no order to stop (error 1061), so that is waited for before anything is done.
function Wait-UntilStarted {
    param($Service, [datetime] $Limit)
    $Service.Refresh()
    if ([string] $Service.Status -ne 'StartPending') {
        return
    }
    if (-not (Test-Reached $Service 'Running' $Limit) -and [string] $Service.Status -eq 'StartPending') {
        Stop-Restart 'hung' "$($Service.ServiceName) is still starting, so it cannot be stopped."
    }
}

# Orders it to stop, unless it does already. False when it takes no orders now.
function Test-Ordered {
    param($Service)
    if ('Stopped', 'StopPending' -contains [string] $Service.Status) {
        return $true
    }
    try {
        Invoke-Effect { $Service.Stop() }
    }
    catch {
        $code = Find-Code $_.Exception
        if ($code -eq 1061) {
            return $false
        }
        if ($code -eq 1053) {
            Stop-Restart 'hung' "$($Service.ServiceName) does not answer: $(Get-Reason $_.Exception)"
        }
        throw
    }
    return $true
}

function Stop-Within {
    param($Service, [datetime] $Limit)
    $Service.Refresh()
    # Between two states it takes no orders. A start is waited out, anything else for some seconds at a time.
    for ($try = 0; -not (Test-Ordered $Service); $try++) {
        $Service.Refresh()
        if ($try -ge 10 -or [datetime]::UtcNow -ge $Limit) {
            Stop-Restart 'hung' "$($Service.ServiceName) takes no orders (error 1061); it is $($Service.Status)."
        }
        if ([string] $Service.Status -eq 'StartPending') {
            [void] (Test-Reached $Service 'Running' $Limit)
        }
        else {
            [void] (Test-Reached $Service 'Stopped' ([datetime]::UtcNow.AddSeconds(5)))
        }
    }
    if (-not (Test-Reached $Service 'Stopped' $Limit)) {
        Stop-Restart 'hung' "$($Service.ServiceName) did not stop in time; it is $($Service.Status)."
    }
    $done.Add("$($Service.ServiceName) stopped")
}

function Start-Within {
    param($Service)
    $name = $Service.ServiceName
    $Service.Refresh()
    if ('Running', 'StartPending' -notcontains [string] $Service.Status) {
        try {
            Invoke-Effect { $Service.Start() }
        }
        catch {
            # Nothing was changed, or it is not known what.
            if (-not $context.acted) {
                throw
            }
            $reason = Get-Reason $_.Exception
            $kind = 'failed'
            if ((Find-Code $_.Exception) -eq 1053) {
                $kind = 'hung'
            }
            $Service.Refresh()
            if ([string] $Service.Status -eq 'Stopped') {
                Stop-Restart $kind "$name does not start: $reason"
            }
        }
    }
    if (-not (Test-Reached $Service 'Running' ([datetime]::UtcNow.AddSeconds($startSeconds)))) {
        Stop-Restart 'failed' "$name did not start in time; it is $($Service.Status)."
    }
    $done.Add("$name started")
}

# Starts those again that were stopped, what Windows stopped last first; what cannot be is named.
function Start-Owed {
    param([string] $Message)
    $left = New-Object 'System.Collections.Generic.List[string]'
    while ($owed.Count -gt 0) {
        $dependent = $owed.Pop()
        try {
            Start-Within $dependent
        }
        catch {
            $left.Add("$($dependent.ServiceName) ($(Get-Reason $_.Exception))")
        }
    }
    if ($left.Count -gt 0) {
        $stopped = $left.ToArray() -join ', '
        return "$Message Stopped before, because it depends on it, and not running again: $stopped."
    }
    return $Message
}

function Read-Services {
    return @(Read-Windows 'Win32_Service')
}

function Find-Service {
    param($Services, [string] $Name)
    $found = @($Services | Where-Object -Property 'Name' -EQ -Value $Name)
    if ($found.Length -ne 1) {
        Stop-Call 'not_found' "This server has no service $Name."
    }
    return $found[0]
}

function Read-Service {
    param([string] $Name)
    $service = Find-Service (Read-Services) $Name
    $number = [int] $service.ProcessId
    $process = @(Read-Windows 'Win32_Process' | Where-Object -Property 'ProcessId' -EQ -Value $number)
    if ($number -eq 0 -or $process.Length -ne 1) {
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

# Stopping what cannot be started again would turn a sick service into a dead one.
function Assert-Startable {
    param($Services, $Service, $Dependents)
    $name = $Service.Name
    $mode = Get-Text $Service 'StartMode'
    if ($mode -eq 'Disabled') {
        Stop-Call 'conflict' "$name is disabled; nothing was done."
    }
    # Exchange leaves POP3 and IMAP4 on Manual and stopped where nobody meant them to run.
    if ($mode -ne 'Auto' -and (Get-Text $Service 'State') -eq 'Stopped') {
        Stop-Call 'conflict' "$name is stopped and does not start by itself; nothing was done."
    }
    foreach ($dependent in $Dependents) {
        if ((Get-Text (Find-Service $Services $dependent.ServiceName) 'StartMode') -eq 'Disabled') {
            $told = "$($dependent.ServiceName), which depends on $name, runs and is disabled"
            Stop-Call 'conflict' "$told, so it could not be started again; nothing was done."
        }
    }
}

Complete-Call 'restart_service' {
    $name = Get-NameArgument 'service'
    $seconds = [double] (Get-Argument 'stop_timeout')
    $services = @(Read-Services)
    $before = Find-Service $services $name
    $service = New-Object 'System.ServiceProcess.ServiceController' -ArgumentList $name
    # Windows lists them in the order in which they can be stopped.
    $dependents = @($service.DependentServices | Where-Object { [string] $_.Status -ne 'Stopped' })
    Assert-Startable $services $before $dependents
    $limit = [datetime]::UtcNow.AddSeconds($seconds)
    foreach ($each in @($dependents) + $service) {
        Wait-UntilStarted $each $limit
    }
    Assert-InTime
    $limit = [datetime]::UtcNow.AddSeconds($seconds)
    try {
        foreach ($dependent in $dependents) {
            $owed.Push($dependent)
            Stop-Within $dependent $limit
        }
        Stop-Within $service $limit
        Start-Within $service
    }
    catch {
        $problem = $_
        if ($owed.Count -eq 0) {
            throw
        }
        $told = Start-Owed (Get-Reason $problem.Exception)
        Stop-Call (Find-Kind $problem.Exception) $told
    }
    $told = Start-Owed "$name was restarted."
    if ($told -ne "$name was restarted.") {
        Stop-Call 'failed' $told
    }
    return @{ service = (Read-Service $name) }
}
