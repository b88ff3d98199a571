# Whether the POP protocol log of one server is on, and where it is. Runs on a peer; changes nothing.
Complete-Call 'pop_settings' {
    $server = Get-ServerArgument
    $settings = Get-One 'Get-PopSettings' @{ Server = $server } 'Server' $server
    return @{
        server               = $server
        protocol_log_enabled = Get-Flag $settings 'ProtocolLogEnabled'
        log_location         = Get-Text $settings 'LogFileLocation'
    }
}
