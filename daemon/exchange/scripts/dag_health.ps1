# The DAG of one server: its members, its cluster's nodes, and the server's replication checks. Runs on a peer; changes
# nothing.

function Get-Names {
    param($Row, [string] $Property)
    $values = $Row.PSObject.Properties[$Property]
    if ($null -eq $values -or $null -eq $values.Value) {
        return
    }
    foreach ($value in @($values.Value)) {
        Get-Leaf $value.ToString()
    }
}

# The nodes' states by short name. Whoever cannot be asked has none: the caller must not take that for Up.
function Find-NodeStates {
    param([string[]] $Members, [string[]] $Operational, [string] $Server)
    $states = @{}
    try {
        $itself = (Get-HostName).Split('.')[0]
        if ($Members -contains $itself -and $null -ne (Get-Command 'Get-ClusterNode' -ErrorAction 'SilentlyContinue')) {
            foreach ($node in @(Get-ClusterNode)) {
                $states[([string] $node.Name).ToLowerInvariant()] = [string] $node.State
            }
            return $states
        }
        # From outside the cluster this is a second hop: Get-ClusterNode takes no credential, a CIM session does.
        $asked = @($Operational | Where-Object { -not (Test-SameServer $_ $Server) }) + @($Operational)
        if ($asked.Length -eq 0) {
            return $states
        }
        $parameters = @{ ComputerName = $asked[0]; OperationTimeoutSec = $cimSeconds }
        if ($null -ne $context.credential) {
            $parameters['Credential'] = $context.credential
        }
        $session = New-CimSession @parameters
        try {
            $words = @{ '0' = 'Up'; '1' = 'Down'; '2' = 'Paused'; '3' = 'Joining' }
            $query = @{ CimSession = $session; Namespace = 'root/MSCluster' }
            foreach ($node in @(Read-Windows 'MSCluster_Node' $query)) {
                $states[([string] $node.Name).ToLowerInvariant()] = [string] $words[[string] $node.State]
            }
        }
        finally {
            $session.Close()
        }
    }
    catch {
        $context.warnings.Add((Hide-Secret (Get-Reason $_.Exception)))
    }
    return $states
}

function ConvertTo-NodeState {
    param([hashtable] $States, [string] $Name)
    $state = [string] $States[$Name.ToLowerInvariant()]
    if (@('Up', 'Down', 'Paused', 'Joining') -contains $state) {
        return $state
    }
    return ''
}

function ConvertTo-Check {
    param($Row, [string] $Server)
    Assert-SameServer (Get-Leaf (Get-Text $Row 'Server')) $Server
    # Anything else is no word of Exchange's in English: it cannot be told what it means.
    $result = (Get-Text $Row 'Result').Trim('*')
    return @{
        server   = $Server
        check    = Get-Text $Row 'Check'
        passed   = $result -eq 'Passed'
        readable = 'Passed', 'Failed' -contains $result
        error    = Hide-Secret (Get-OptionalText $Row 'Error')
    }
}

Complete-Call 'dag_health' {
    $server = Get-ServerArgument
    $none = @{ server = $server; dag = $null; members = @(); witness_counts = $false; replication = @() }
    $exchange = Get-One 'Get-ExchangeServer' @{ Identity = $server } 'Fqdn' $server
    if (-not (Get-Flag $exchange 'IsMailboxServer')) {
        return $none
    }
    $dag = Get-Leaf (Get-OptionalText (Get-MailboxServerOf $server) 'DatabaseAvailabilityGroup')
    if ($dag -eq '') {
        return $none
    }
    $groups = @(Invoke-Exchange 'Get-DatabaseAvailabilityGroup' @{ Identity = $dag; Status = $true })
    if ($groups.Length -ne 1 -or (Get-Text $groups[0] 'Name') -ne $dag) {
        Stop-Call 'broken' "Get-DatabaseAvailabilityGroup did not answer about $dag alone."
    }
    $names = [string[]] @(Get-Names $groups[0] 'Servers')
    if ($names.Length -eq 0) {
        Stop-Call 'broken' "Get-DatabaseAvailabilityGroup told no member of $dag."
    }
    $operational = [string[]] @(Get-Names $groups[0] 'OperationalServers')
    $maintenance = [string[]] @(Get-Names $groups[0] 'ServersInMaintenance')
    $states = Find-NodeStates $names $operational $server
    $members = New-Object 'System.Collections.Generic.List[object]'
    foreach ($name in $names) {
        $members.Add(@{
            server         = $name
            operational    = $operational -contains $name
            in_maintenance = $maintenance -contains $name
            node_state     = ConvertTo-NodeState $states $name
        })
    }
    $checks = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Test-ReplicationHealth' @{ Identity = $server })) {
        $checks.Add((ConvertTo-Check $row $server))
    }
    return @{
        server         = $server
        dag            = $dag
        members        = $members.ToArray()
        # Primary and Alternate name the share in use; anything else means that no witness has a vote.
        witness_counts = @('Primary', 'Alternate') -contains (Get-OptionalText $groups[0] 'WitnessShareInUse')
        replication    = $checks.ToArray()
    }
}
