# Get-ServerHealth of one server: for one health set, or with `*` at the end for every one whose name begins so. Runs
# on a peer; changes nothing.
Complete-Call 'server_health' {
    $server = Get-ServerArgument
    $healthSet = [string] (Get-Argument 'health_set')
    if ($healthSet -notmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?\z') {
        Stop-Call 'failed' "The argument 'health_set' is not the name of a health set."
    }
    $several = $healthSet.EndsWith('*')
    $prefix = $healthSet.TrimEnd('*')
    $parameters = @{ Identity = $server }
    # -HealthSet takes whole names; for a prefix the rows are chosen here, as the page does with -like.
    if (-not $several) {
        $parameters['HealthSet'] = $healthSet
    }
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-ServerHealth' $parameters)) {
        Assert-SameServer (Get-Text $row 'Server') $server
        $named = Get-Text $row 'HealthSetName'
        if ($several -and -not $named.StartsWith($prefix, [System.StringComparison]::OrdinalIgnoreCase)) {
            continue
        }
        if (-not $several -and $named -ne $healthSet) {
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
