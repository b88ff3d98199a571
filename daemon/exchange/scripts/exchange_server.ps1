# Roles, version, site and component states of one server. Runs on a peer; changes nothing.

# Who asked for which state of a component. What a session hands over without its parts is told as text that fits no
# requester, so that nobody takes it for a request of Exchange's own.
function ConvertTo-Request {
    param($Entry)
    $requester = Get-OptionalText $Entry 'Requester'
    $state = Get-OptionalText $Entry 'State'
    if ($requester -eq '' -or $state -eq '') {
        return @{ requester = 'unreadable'; state = 'unreadable'; at = $null }
    }
    return @{ requester = $requester; state = $state; at = Get-OptionalMoment $Entry 'Timestamp' }
}

function ConvertTo-Component {
    param($Row, [string] $Server)
    # Which property names the server is not the same in every version.
    foreach ($property in 'ServerFqdn', 'Server') {
        $named = Get-OptionalText $Row $property
        if ($named -ne '') {
            Assert-SameServer $named $Server
        }
    }
    $requests = New-Object 'System.Collections.Generic.List[object]'
    foreach ($property in 'LocalStates', 'RemoteStates') {
        $states = $Row.PSObject.Properties[$property]
        if ($null -eq $states -or $null -eq $states.Value) {
            continue
        }
        foreach ($entry in @($states.Value)) {
            $requests.Add((ConvertTo-Request $entry))
        }
    }
    return @{
        name     = Get-Text $Row 'Component'
        state    = Get-Text $Row 'State'
        requests = $requests.ToArray()
    }
}

Complete-Call 'exchange_server' {
    $server = Get-ServerArgument
    $exchange = Get-One 'Get-ExchangeServer' @{ Identity = $server } 'Fqdn' $server
    $components = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-ServerComponentState' @{ Identity = $server })) {
        $components.Add((ConvertTo-Component $row $server))
    }
    if ($components.Count -eq 0) {
        Stop-Call 'broken' "Get-ServerComponentState answered nothing about $server."
    }
    return @{
        server             = $server
        mailbox_role       = Get-Flag $exchange 'IsMailboxServer'
        client_access_role = Get-Flag $exchange 'IsClientAccessServer'
        version            = Get-Text $exchange 'AdminDisplayVersion'
        site               = Get-Leaf (Get-OptionalText $exchange 'Site')
        components         = $components.ToArray()
    }
}
