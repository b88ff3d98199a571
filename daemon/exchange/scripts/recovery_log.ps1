# What Managed Availability did on this server in the last hours, newest first. Changes nothing.
# From the events' own XML, as the Exchange team's "What did Managed Availability just do to this service?" reads it.

$resultsLog = 'Microsoft-Exchange-ManagedAvailability/RecoveryActionResults'
$startsLog = 'Microsoft-Exchange-ManagedAvailability/RecoveryActionLogs'
$most = 2000

# An empty answer means that nothing was logged. A log that cannot be read is an error. Of more events than can be read
# the newest are: what they show is then the least that was done.
function Read-Log {
    param([string] $Log, [datetime] $Since)
    try {
        Get-WinEvent -FilterHashtable @{ LogName = $Log; StartTime = $Since } -MaxEvents $most
    }
    catch {
        if (-not $_.FullyQualifiedErrorId.StartsWith('NoMatchingEventsFound', [System.StringComparison]::Ordinal)) {
            throw
        }
    }
}

# The fields of an event by name, whatever the namespace.
function ConvertTo-Fields {
    param($Entry)
    $fields = @{}
    $nodes = ([xml] $Entry.ToXml()).SelectNodes("//*[local-name()='UserData']/*/*")
    foreach ($node in $nodes) {
        $fields[$node.LocalName] = [string] $node.InnerText
    }
    return $fields
}

function Get-EventField {
    param([hashtable] $Fields, [string] $Name)
    if ([string] $Fields[$Name] -eq '') {
        Stop-Call 'broken' "An event of $resultsLog has no '$Name'; what Managed Availability does cannot be read."
    }
    return [string] $Fields[$Name]
}

# A time as an event has it; nothing where it cannot be read.
function Read-EventMoment {
    param([string] $Text)
    $culture = [System.Globalization.CultureInfo]::InvariantCulture
    $style = [System.Globalization.DateTimeStyles]::AssumeUniversal
    $moment = [System.DateTimeOffset]::MinValue
    if ([System.DateTimeOffset]::TryParse($Text, $culture, $style, [ref] $moment)) {
        return Format-Moment $moment.UtcDateTime
    }
    return $null
}

function ConvertTo-EventMoment {
    param([string] $Text)
    $moment = Read-EventMoment $Text
    if ($null -eq $moment) {
        Stop-Call 'broken' "An event of $resultsLog has the time '$(Hide-Secret $Text)', which cannot be read."
    }
    return $moment
}

function ConvertTo-Action {
    param([hashtable] $Fields, [bool] $Ended)
    $end = $null
    if ($Ended) {
        $end = ConvertTo-EventMoment (Get-EventField $Fields 'EndTime')
    }
    return @{
        action       = Get-EventField $Fields 'Id'
        resource     = [string] $Fields['ResourceName']
        started      = ConvertTo-EventMoment (Get-EventField $Fields 'StartTime')
        # Of one that has only begun the end that was expected: a guess, which must not cost all of the log.
        expected_end = Read-EventMoment ([string] $Fields['EndTime'])
        ended        = $end
        result       = Hide-Secret ([string] $Fields['Result'])
    }
}

# Nothing that began before this server booted is still under way: a reboot leaves no end behind in the log.
function Complete-Action {
    param([hashtable] $Action, [string] $Booted)
    if ($null -eq $Action.ended -and [string]::CompareOrdinal($Action.started, $Booted) -lt 0) {
        $Action.ended = $Booted
        $Action.result = 'the server booted'
    }
    return $Action
}

Complete-Call 'recovery_log' {
    $hours = [double] (Get-Argument 'hours')
    if (-not ($hours -gt 0 -and $hours -le 720)) {
        Stop-Call 'broken' "The argument 'hours' is not between 0 and 720."
    }
    $since = [datetime]::UtcNow.AddHours(-$hours)
    $system = Read-Windows 'Win32_OperatingSystem'
    $booted = Format-Moment $system.LastBootUpTime
    $ended = @{}
    $begun = @{}
    $truncated = $false
    foreach ($log in $resultsLog, $startsLog) {
        $entries = @(Read-Log $log $since.ToLocalTime())
        $truncated = $truncated -or $entries.Length -ge $most
        foreach ($entry in $entries) {
            $fields = ConvertTo-Fields $entry
            # The second log holds events of other shapes as well; in the first, every one is an action.
            if ($log -eq $startsLog -and ([string] $fields['State'] -eq '' -or [string] $fields['Id'] -eq '')) {
                continue
            }
            $state = Get-EventField $fields 'State'
            # Start and end of one action share its instance; without one, the time it began at.
            $instance = [string] $fields['InstanceId']
            if ($instance -eq '') {
                $instance = Get-EventField $fields 'StartTime'
            }
            $key = (Get-EventField $fields 'Id') + '/' + [string] $fields['ResourceName'] + '/' + $instance
            if ($state -eq 'Finished') {
                $ended[$key] = ConvertTo-Action $fields $true
            }
            elseif ($state -eq 'Started') {
                $begun[$key] = ConvertTo-Action $fields $false
            }
            else {
                Stop-Call 'broken' "An event of $log has the state '$(Hide-Secret $state)', which is not known."
            }
        }
    }
    $actions = New-Object 'System.Collections.Generic.List[object]'
    foreach ($key in $ended.Keys) {
        $actions.Add($ended[$key])
    }
    foreach ($key in $begun.Keys) {
        if (-not $ended.ContainsKey($key)) {
            $actions.Add((Complete-Action $begun[$key] $booted))
        }
    }
    $newest = @($actions.ToArray() | Sort-Object -Property { $_.started } -Descending)
    return @{ actions = $newest; truncated = $truncated }
}
