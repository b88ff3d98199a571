# Where the databases of one server are: every copy, on every server, of each database with a copy there, and the
# activation settings of the members of its DAG. Runs on a peer; changes nothing.

# A lagged copy must never count as a place to move to, so whatever does not clearly say "no lag" counts as lagged.
function Test-Lagged {
    param($Copy, $Database, [string] $Server)
    $status = Get-OptionalText $Copy 'ReplayLagStatus'
    if ($status -cmatch '(?i)Enabled:\s*True') {
        return $true
    }
    if ($status -cmatch 'Configured:\s*([0-9.:]+)') {
        return $Matches[1] -ne '00:00:00'
    }
    $times = $Database.PSObject.Properties['ReplayLagTimes']
    if ($null -ne $times) {
        # As text each is "[MBX1, 00:00:00]".
        foreach ($time in @($times.Value)) {
            if (([string] $time) -cmatch '\A\[([^,]+),\s*([0-9.:]+)\]\z') {
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
    param($Row, $Database, [string] $Holder)
    return @{
        database             = Get-Text $Row 'DatabaseName'
        server               = $Holder
        status               = Get-Text $Row 'Status'
        active               = Get-Flag $Row 'ActiveCopy'
        activation_suspended = Get-Flag $Row 'ActivationSuspended'
        copy_queue           = [int64] (Get-Text $Row 'CopyQueueLength')
        copy_queue_stale     = (Get-OptionalText $Row 'LastLogInfoIsStale') -eq 'True'
        replay_queue         = [int64] (Get-Text $Row 'ReplayQueueLength')
        lagged               = Test-Lagged $Row $Database $Holder
        content_index        = Get-OptionalText $Row 'ContentIndexState'
    }
}

function Get-OtherMembers {
    param([string] $Dag, [string] $Server)
    $groups = @(Invoke-Exchange 'Get-DatabaseAvailabilityGroup' @{ Identity = $Dag })
    if ($groups.Length -ne 1 -or (Get-Text $groups[0] 'Name') -ne $Dag) {
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

    # A recovery database has one copy and serves nobody.
    $databases = @{}
    foreach ($database in @(Invoke-Exchange 'Get-MailboxDatabase' @{ Server = $server })) {
        if ((Get-OptionalText $database 'Recovery') -ne 'True') {
            $databases[(Get-Text $database 'Name').ToLowerInvariant()] = $database
        }
    }
    $copies = New-Object 'System.Collections.Generic.List[object]'
    foreach ($member in $members) {
        foreach ($row in @(Invoke-Exchange 'Get-MailboxDatabaseCopyStatus' @{ Server = $member.server })) {
            Assert-SameServer (Get-Text $row 'MailboxServer') $member.server
            $database = $databases[(Get-Text $row 'DatabaseName').ToLowerInvariant()]
            if ($null -ne $database) {
                $copies.Add((ConvertTo-Copy $row $database (Get-Text $row 'MailboxServer')))
            }
        }
    }
    return @{
        server       = $server
        mailbox_role = $true
        dag          = $dag
        # By its method: where a database is called Count, the property is that one's row.
        databases    = $databases.get_Count()
        members      = $members.ToArray()
        copies       = $copies.ToArray()
    }
}
