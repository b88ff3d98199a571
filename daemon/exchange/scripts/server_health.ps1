# Get-ServerHealth of one server: for some health sets, where one with `*` at the end means every one whose name begins
# so. Runs on a peer; changes nothing.
function Get-HealthSetsArgument {
    $wanted = @(Get-Argument 'health_sets')
    foreach ($one in $wanted) {
        if ($one -isnot [string] -or $one -cnotmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?\z') {
            Stop-Call 'broken' "The argument 'health_sets' holds something that is not the name of a health set."
        }
    }
    if ($wanted.Length -eq 0) {
        Stop-Call 'broken' "The argument 'health_sets' names none."
    }
    return $wanted
}

function Test-Wanted {
    param([string] $Named, [string[]] $Wanted)
    foreach ($one in $Wanted) {
        $prefix = $one.TrimEnd('*')
        $begins = $Named.StartsWith($prefix, [System.StringComparison]::OrdinalIgnoreCase)
        if ($begins -and ($one.EndsWith('*') -or $Named.Length -eq $prefix.Length)) {
            return $true
        }
    }
    return $false
}

Complete-Call 'server_health' {
    $server = Get-ServerArgument
    $wanted = [string[]] @(Get-HealthSetsArgument)
    # -HealthSet takes one whole name; otherwise the rows are chosen here, as the page does with -like.
    $single = $wanted.Length -eq 1 -and -not $wanted[0].EndsWith('*')
    $parameters = @{ Identity = $server }
    if ($single) {
        $parameters['HealthSet'] = $wanted[0]
    }
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-ServerHealth' $parameters)) {
        Assert-SameServer (Get-Text $row 'Server') $server
        $named = Get-Text $row 'HealthSetName'
        if (-not (Test-Wanted $named $wanted)) {
            if ($single) {
                Stop-Call 'broken' "Asked about health set $($wanted[0]), Exchange answered about '$named'."
            }
            continue
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
