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

# Whatever cannot be read is a conflict too: `failed` and a lost answer could lead to a harsher step.
function Assert-Spared {
    param([string] $Server, [bool] $Mailbox)
    try {
        if ($Mailbox) {
            Assert-NothingActive $Server
        }
        else {
            Assert-NoMailboxServer $Server
        }
    }
    catch {
        if ('denied', 'second_hop', 'logon', 'not_found' -contains (Find-Kind $_.Exception)) {
            throw
        }
        Stop-Call 'conflict' $_.Exception.Message
    }
}

Complete-Call 'reboot' {
    $server = Get-ServerArgument
    $mailbox = Get-FlagArgument 'mailbox'
    $itself = Get-HostName
    if ((Test-SameServer $server $itself) -or (Test-SameServer $itself $server)) {
        Stop-Call 'failed' "This is $server itself; its reboot must be asked for from another server."
    }
    $parameters = @{ ComputerName = $server; Force = $true }
    if ($null -ne $context.credential) {
        $parameters['Credential'] = $context.credential
    }
    Assert-Spared $server $mailbox
    Assert-InTime
    try {
        Restart-Computer @parameters
    }
    catch {
        # Restart-Computer keeps of an access denied (E_ACCESSDENIED) only the text.
        $denied = $_.Exception.Message -match '0x80070005' -or (Find-Kind $_.Exception) -eq 'denied'
        if (-not $denied) {
            # The call may have been cut off by the very reboot it asked for: only evidence can tell.
            Stop-Call 'lost' $_.Exception.Message
        }
        if ($null -eq $context.credential) {
            Stop-Call 'second_hop' $_.Exception.Message
        }
        Stop-Call 'denied' $_.Exception.Message
    }
    return @{ accepted = $true }
}
