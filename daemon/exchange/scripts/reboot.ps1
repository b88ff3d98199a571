# Asks Windows to restart another server. Runs on a peer: a server that is going down cannot report its own reboot. It
# asks by CIM over WinRM, whose port is open anyway (Restart-Computer takes DCOM, whose firewall rule is off by default),
# and with a comment, which Windows records with the restart (event 1074 of User32).
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
    # A recovery database serves nobody, and nothing moves it away: mounted or not, it forbids no reboot.
    $databases = @()
    $recovery = @()
    foreach ($row in @(Invoke-Exchange 'Get-MailboxDatabase' @{ Server = $Server })) {
        if ((Get-OptionalText $row 'Recovery') -eq 'True') {
            $recovery += Get-Text $row 'Name'
        }
        else {
            $databases += Get-Text $row 'Name'
        }
    }
    $rows = @(foreach ($row in @(Invoke-Exchange 'Get-MailboxDatabaseCopyStatus' @{ Server = $Server })) {
        if ($recovery -notcontains (Get-Text $row 'DatabaseName')) {
            $row
        }
    })
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

# Windows' numbers for why a session was not opened stand in CIM's message id: the text is in the server's language.
function Stop-OnSessionError {
    param($Record)
    $exception = $Record.Exception
    $message = 'Opening a CIM session; nothing was sent: ' + (Get-Reason $exception)
    $code = 0
    if ($null -ne $exception.PSObject.Properties['MessageId']) {
        if ([string] $exception.MessageId -cmatch '0[xX]([0-9a-fA-F]{8})\z') {
            $code = [System.Convert]::ToInt32($Matches[1], 16)
        }
    }
    # 0x8007.... holds a number of Windows' own.
    if (($code -band -65536) -eq -2147024896) {
        $code = $code -band 65535
    }
    $refused = Test-Refused $code
    $denied = (Find-Kind $exception) -eq 'denied' -or $code -eq 5
    if (($refused -or $denied) -and $null -eq $context.credential) {
        Stop-Call 'second_hop' $message
    }
    if ($refused) {
        Stop-Call 'logon' $message
    }
    if ($denied) {
        Stop-Call 'denied' $message
    }
    # Another server may be able to.
    Stop-Call 'no_session' $message
}

# 6 is a forced restart: Microsoft, Win32ShutdownTracker method of the Win32_OperatingSystem class. Planned, for the
# maintenance of an application (0x80040001), so that Windows does not ask the next who logs on.
function Restart-Windows {
    param($System, $Session)
    $order = @{
        Timeout    = [uint32] 0
        Comment    = "exmedic $($Call.step)"
        ReasonCode = [uint32] 2147745793
        Flags      = [int32] 6
    }
    $asked = @{ CimSession = $Session; OperationTimeoutSec = $cimSeconds; MethodName = 'Win32ShutdownTracker' }
    $told = @(Invoke-CimMethod -InputObject $System -Arguments $order @asked)
    $code = [int64] $told[0].ReturnValue
    if ($code -ne 0) {
        # A refusal (5) is one of the order itself; for anything else evidence decides.
        $refusal = New-Object 'System.ComponentModel.Win32Exception' -ArgumentList ([int32] $code)
        throw $refusal
    }
}

Complete-Call 'reboot' {
    $server = Get-ServerArgument
    $mailbox = Get-FlagArgument 'mailbox'
    $itself = Get-HostName
    if ((Test-SameServer $server $itself) -or (Test-SameServer $itself $server)) {
        Stop-Call 'broken' "This is $server itself; its reboot must be asked for from another server."
    }
    if ($mailbox) {
        Assert-NothingActive $server
    }
    else {
        Assert-NoMailboxServer $server
    }
    $parameters = @{ ComputerName = $server; OperationTimeoutSec = $cimSeconds }
    if ($null -ne $context.credential) {
        $parameters['Credential'] = $context.credential
    }
    try {
        $session = New-CimSession @parameters
        $systems = @(Read-Windows 'Win32_OperatingSystem' @{ CimSession = $session })
    }
    catch {
        Stop-OnSessionError $_
    }
    if ($systems.Length -ne 1) {
        Stop-Call 'broken' "$server told of $($systems.Length) operating systems; nothing was sent."
    }
    try {
        Assert-InTime
        # An error may come from an order that was cut off by the very reboot it asked for.
        Invoke-Effect { Restart-Windows $systems[0] $session }
    }
    finally {
        try {
            Remove-CimSession -CimSession $session
        }
        catch {
            # It ends by itself, and with the server.
            $session = $null
        }
    }
    return @{ accepted = $true }
}
