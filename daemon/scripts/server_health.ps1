# Get-ServerHealth for one health set of one server. Runs on a peer; changes nothing.
Complete-Call 'server_health' {
    $server = Get-ServerArgument
    $healthSet = Get-NameArgument 'health_set'
    $rows = @(Invoke-Exchange 'Get-ServerHealth' @{ Identity = $server; HealthSet = $healthSet })
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in $rows) {
        Assert-SameServer (Get-Text $row 'Server') $server
        $named = Get-Text $row 'HealthSetName'
        if ($named -ne $healthSet) {
            Stop-Call 'failed' "Asked about health set $healthSet, Exchange answered about '$named'."
        }
        $answer.Add(@{
            server                   = $server
            name                     = Get-Text $row 'Name'
            target_resource          = Get-OptionalText $row 'TargetResource'
            health_set               = $named
            alert_value              = Get-Text $row 'AlertValue'
            is_stale                 = Get-Flag $row 'IsStale'
            current_health_set_state = Get-OptionalText $row 'CurrentHealthSetState'
            last_transition          = Get-OptionalMoment $row 'LastTransitionTime'
            error                    = Hide-Secret (Get-OptionalText $row 'Error')
        })
    }
    return @{ rows = $answer.ToArray() }
}
