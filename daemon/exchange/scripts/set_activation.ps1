# Sets DatabaseCopyActivationDisabledAndMoveNow of one server, if it still has the expected value. Runs on a peer.
Complete-Call 'set_activation' {
    $server = Get-ServerArgument
    $expected = Get-FlagArgument 'expected'
    $value = Get-FlagArgument 'value'
    $before = Get-Flag (Get-MailboxServerOf $server) 'DatabaseCopyActivationDisabledAndMoveNow'
    if ($before -eq $value) {
        return @{ server = $server; before = $before; after = $before; changed = $false }
    }
    if ($before -ne $expected) {
        Stop-Call 'conflict' "DatabaseCopyActivationDisabledAndMoveNow of $server is $before, not $expected as expected."
    }
    $change = @{ Identity = $server; DatabaseCopyActivationDisabledAndMoveNow = $value; Confirm = $false }
    Save-Mark
    Assert-InTime
    Invoke-Effect { Invoke-Exchange 'Set-MailboxServer' $change -Warned }
    $after = Get-Flag (Get-MailboxServerOf $server) 'DatabaseCopyActivationDisabledAndMoveNow'
    return @{ server = $server; before = $before; after = $after; changed = $true }
}
