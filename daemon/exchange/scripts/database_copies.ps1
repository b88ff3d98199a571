# Where the databases of one server are: every copy, on every server, of each database with a copy there, and the
# activation settings of the members of its DAG. Runs on a peer; changes nothing.

# A lagged copy must never count as a place to move to, so whatever does not clearly say "no lag" counts as lagged.
function Test-Lagged {
    param($Copy, $Database, [string] $Server)
    $status = Get-OptionalText $Copy 'ReplayLagStatus'
    if ($status -match 'Enabled:\s*True') {
        return $true
    }
    if ($status -match 'Configured:\s*([0-9.:]+)') {
        return $Matches[1] -ne '00:00:00'
    }
    $times = $Database.PSObject.Properties['ReplayLagTimes']
    if ($null -ne $times) {
        # As text each is "[MBX1, 00:00:00]".
        foreach ($time in @($times.Value)) {
            if (([string] $time) -match '\A\[([^,]+),\s*([0-9.:]+)\]\z') {
                $lag = $Matches[2]
                if (Test-SameServer $Matches[1] $Server) {
                    return $lag -ne '00:00:00'
                }
            }
        }
    }
    return $true
}

function ConvertTo-Member {
    param($Row, [string] $Server)
    return @{
        server             = $Server
        activation_blocked = Get-Flag $Row 'DatabaseCopyActivationDisabledAndMoveNow'
        activation_policy  = Get-Text $Row 'DatabaseCopyAutoActivationPolicy'
    }
}

function ConvertTo-Copy {
    param($Row, $Database, [string] $Name)
    $named = Get-Text $Row 'DatabaseName'
    if ($named -ne $Name) {
        Stop-Call 'broken' "Asked about database $Name, Exchange answered about '$named'."
    }
    $holder = Get-Text $Row 'MailboxServer'
    return @{
        database             = $Name
        server               = $holder
        status               = Get-Text $Row 'Status'
        active               = Get-Flag $Row 'ActiveCopy'
        activation_suspended = Get-Flag $Row 'ActivationSuspended'
        copy_queue           = [int64] (Get-Text $Row 'CopyQueueLength')
        replay_queue         = [int64] (Get-Text $Row 'ReplayQueueLength')
        lagged               = Test-Lagged $Row $Database $holder
        content_index        = Get-OptionalText $Row 'ContentIndexState'
    }
}

function Get-OtherMembers {
    param([string] $Dag, [string] $Server)
    $groups = @(Invoke-Exchange 'Get-DatabaseAvailabilityGroup' @{ Identity = $Dag })
    if ($groups.Count -ne 1 -or (Get-Text $groups[0] 'Name') -ne $Dag) {
        Stop-Call 'broken' "Get-DatabaseAvailabilityGroup did not answer about $Dag alone."
    }
    foreach ($member in @(Get-Field $groups[0] 'Servers')) {
        $name = Get-Leaf $member.ToString()
        if (-not (Test-SameServer $name $Server)) {
            $name
        }
    }
}

Complete-Call 'database_copies' {
    $server = Get-ServerArgument
    $exchange = Get-One 'Get-ExchangeServer' @{ Identity = $server } 'Fqdn' $server
    if (-not (Get-Flag $exchange 'IsMailboxServer')) {
        return @{ server = $server; mailbox_role = $false }
    }

    $members = New-Object 'System.Collections.Generic.List[object]'
    $itself = Get-MailboxServerOf $server
    $members.Add((ConvertTo-Member $itself $server))
    $dag = Get-Leaf (Get-OptionalText $itself 'DatabaseAvailabilityGroup')
    if ($dag -eq '') {
        $dag = $null
    }
    else {
        foreach ($name in @(Get-OtherMembers $dag $server)) {
            $members.Add((ConvertTo-Member (Get-MailboxServerOf $name) $name))
        }
    }

    $databases = @(Invoke-Exchange 'Get-MailboxDatabase' @{ Server = $server })
    $copies = New-Object 'System.Collections.Generic.List[object]'
    foreach ($database in $databases) {
        $name = Get-Text $database 'Name'
        foreach ($row in @(Invoke-Exchange 'Get-MailboxDatabaseCopyStatus' @{ Identity = $name })) {
            $copies.Add((ConvertTo-Copy $row $database $name))
        }
    }
    return @{
        server       = $server
        mailbox_role = $true
        dag          = $dag
        databases    = $databases.Count
        members      = $members.ToArray()
        copies       = $copies.ToArray()
    }
}
