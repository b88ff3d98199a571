# Asks Windows to restart another server. Runs on a peer: a server that is going down cannot report its own reboot.
Complete-Call 'reboot' {
    $server = Get-ServerArgument
    $itself = Get-HostName
    if ((Test-SameServer $server $itself) -or (Test-SameServer $itself $server)) {
        Stop-Call 'failed' "This is $server itself; its reboot must be asked for from another server."
    }
    $parameters = @{ ComputerName = $server; Force = $true }
    if ($null -ne $context.credential) {
        $parameters['Credential'] = $context.credential
    }
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
