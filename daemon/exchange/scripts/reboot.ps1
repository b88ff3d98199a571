# Asks Windows to restart another server. Runs on a peer: a server that is going down cannot report its own reboot.
# Looks itself, last of all, whether an active database copy may be there: minutes may have passed since the decision.

# Statuses that only an active copy has, and those of which nothing can be concluded. Microsoft,
# Get-MailboxDatabaseCopyStatus reference.
$notPassive = 'Mounted', 'Mounting', 'Dismounting', 'Dismounted', 'ServiceDown', 'Unknown', 'Misconfigured'

function Assert-Passive {
    param($Row, [string] $Server)
    Assert-SameServer (Get-Text $Row 'MailboxServer') $Server
    $name = Get-Text $Row 'DatabaseName'
    $status = Get-Text $Row 'Status'
    if ((Get-Flag $Row 'ActiveCopy') -or $notPassive -contains $status) {
        Stop-Call 'conflict' "The copy of $name on $Server is or may be active ($status); nothing was done."
    }
    return $name
}

function Assert-NothingActive {
    param([string] $Server)
    if (-not (Get-Flag (Get-MailboxServerOf $Server) 'DatabaseCopyActivationDisabledAndMoveNow')) {
        Stop-Call 'conflict' "Activation is not blocked on $Server any more; nothing was done."
    }
    $databases = @(Invoke-Exchange 'Get-MailboxDatabase' @{ Server = $Server } | ForEach-Object { Get-Text $_ 'Name' })
    $rows = @(Invoke-Exchange 'Get-MailboxDatabaseCopyStatus' @{ Server = $Server })
    $shown = @($rows | ForEach-Object { Assert-Passive $_ $Server })
    foreach ($name in $databases) {
        if ($shown -notcontains $name) {
            Stop-Call 'conflict' "No row tells of the copy of $name on $Server; nothing was done."
        }
    }
}

function Assert-NoMailboxServer {
    param([string] $Server)
    if (Get-Flag (Get-One 'Get-ExchangeServer' @{ Identity = $Server } 'Fqdn' $Server) 'IsMailboxServer') {
        Stop-Call 'conflict' "$Server is a Mailbox server, which the call does not say; nothing was done."
    }
}

Complete-Call 'reboot' {
    $server = Get-ServerArgument
    $mailbox = Get-FlagArgument 'mailbox'
    $itself = Get-HostName
    if ((Test-SameServer $server $itself) -or (Test-SameServer $itself $server)) {
        Stop-Call 'broken' "This is $server itself; its reboot must be asked for from another server."
    }
    $parameters = @{ ComputerName = $server; Force = $true }
    if ($null -ne $context.credential) {
        $parameters['Credential'] = $context.credential
    }
    if ($mailbox) {
        Assert-NothingActive $server
    }
    else {
        Assert-NoMailboxServer $server
    }
    Assert-InTime
    try {
        Invoke-Effect { Restart-Computer @parameters }
    }
    catch {
        if ($null -eq $context.credential -and (Find-Kind $_.Exception) -eq 'denied') {
            Stop-Call 'second_hop' $_.Exception.Message
        }
        # Any other error may come from a call that was cut off by the very reboot it asked for.
        throw
    }
    return @{ accepted = $true }
}
