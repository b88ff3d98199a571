# Sets ProtocolLogEnabled of one server's POP3 settings, if it still has the expected value. Runs on a peer.
# The service takes it over when it is restarted, which is another script's work.
Complete-Call 'set_protocol_log' {
    $server = Get-ServerArgument
    $expected = Get-FlagArgument 'expected'
    $value = Get-FlagArgument 'value'
    $before = Get-Flag (Get-One 'Get-PopSettings' @{ Server = $server } 'Server' $server) 'ProtocolLogEnabled'
    if ($before -eq $value) {
        return @{ server = $server; before = $before; after = $before; changed = $false }
    }
    if ($before -ne $expected) {
        Stop-Call 'conflict' "ProtocolLogEnabled of $server is $before, not $expected as expected."
    }
    $change = @{ Server = $server; ProtocolLogEnabled = $value; Confirm = $false }
    Assert-InTime
    Invoke-Effect { Invoke-Exchange 'Set-PopSettings' $change -Warned }
    $after = Get-Flag (Get-One 'Get-PopSettings' @{ Server = $server } 'Server' $server) 'ProtocolLogEnabled'
    return @{ server = $server; before = $before; after = $after; changed = $true }
}
