# All servers, Mailbox servers and DAGs of the organisation, as Active Directory has them. Runs on any server of it;
# changes nothing. Whoever reads the answer compares its parts: each cmdlet answers without the others.

function ConvertTo-Listed {
    param($Row)
    # An Edge server is in no site, and a server that is just being set up may lack more: told as text that is empty.
    return @{
        name               = Get-Text $Row 'Name'
        fqdn               = Get-OptionalText $Row 'Fqdn'
        roles              = Get-OptionalText $Row 'ServerRole'
        mailbox_role       = Get-Flag $Row 'IsMailboxServer'
        client_access_role = Get-Flag $Row 'IsClientAccessServer'
        edge_role          = Get-Flag $Row 'IsEdgeServer'
        version            = Get-OptionalText $Row 'AdminDisplayVersion'
        site               = Get-Leaf (Get-OptionalText $Row 'Site')
    }
}

function ConvertTo-Group {
    param($Row)
    $members = New-Object 'System.Collections.Generic.List[object]'
    $servers = $Row.PSObject.Properties['Servers']
    if ($null -ne $servers -and $null -ne $servers.Value) {
        foreach ($server in @($servers.Value)) {
            $members.Add((Get-Leaf $server.ToString()))
        }
    }
    return @{ name = Get-Text $Row 'Name'; members = $members.ToArray() }
}

Complete-Call 'organisation' {
    $servers = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-ExchangeServer' @{})) {
        $servers.Add((ConvertTo-Listed $row))
    }
    $holders = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-MailboxServer' @{})) {
        $dag = Get-Leaf (Get-OptionalText $row 'DatabaseAvailabilityGroup')
        $holders.Add(@{ name = Get-Text $row 'Name'; dag = $dag })
    }
    $groups = New-Object 'System.Collections.Generic.List[object]'
    foreach ($row in @(Invoke-Exchange 'Get-DatabaseAvailabilityGroup' @{})) {
        $groups.Add((ConvertTo-Group $row))
    }
    return @{
        servers         = $servers.ToArray()
        mailbox_servers = $holders.ToArray()
        dags            = $groups.ToArray()
        warnings        = $context.warnings.ToArray()
    }
}
