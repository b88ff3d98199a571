# Invoke-MonitoringProbe once against one server. Runs on a peer; changes nothing.
# A probe that cannot run writes a warning and no object; both go back as they are, for the caller to judge.
# Of what a probe tells, its execution context and its state attributes are not taken: a failing one writes its
# mailbox's password there. But for the first attribute, which says in a word what failed.

function Get-ShortReason {
    param($Row)
    $reason = (Hide-Secret (Get-OptionalText $Row 'StateAttribute1')).Split("`r`n".ToCharArray())[0]
    if ($reason.Length -gt 100) {
        $reason = $reason.Substring(0, 100)
    }
    return $reason
}

Complete-Call 'invoke_probe' {
    $server = Get-ServerArgument
    $identity = (Get-NameArgument 'health_set') + '\' + (Get-NameArgument 'probe')
    $rows = @(Invoke-Exchange 'Invoke-MonitoringProbe' @{ Identity = $identity; Server = $server } -Warned)
    $answer = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in $rows) {
        Assert-SameServer (Get-Text $row 'Server') $server
        $answer.Add(@{
            server           = $server
            monitor_identity = Get-Text $row 'MonitorIdentity'
            request_id       = Get-OptionalText $row 'RequestId'
            started          = Get-OptionalMoment $row 'ExecutionStartTime'
            ended            = Get-OptionalMoment $row 'ExecutionEndTime'
            result_type      = Get-Text $row 'ResultType'
            reason           = Get-ShortReason $row
            error            = Hide-Secret (Get-OptionalText $row 'Error')
            exception        = Hide-Secret (Get-OptionalText $row 'Exception')
            failure_context  = Hide-Secret (Get-OptionalText $row 'FailureContext')
        })
    }
    return @{ objects = $answer.ToArray(); warnings = $context.warnings.ToArray() }
}
