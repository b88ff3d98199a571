# Whether the POP protocol log of one server is on, and where it is; and the certificate that it names. Runs on a peer;
# changes nothing.

# Whether a certificate is made out to a name: a `*` stands for the first part.
function Test-MadeOutTo {
    param($Certificate, [string] $Name)
    $names = @()
    $domains = $Certificate.PSObject.Properties['CertificateDomains']
    if ($null -ne $domains -and $null -ne $domains.Value) {
        $names = @(foreach ($domain in @($domains.Value)) { $domain.ToString() })
    }
    $names += @(foreach ($part in (Get-OptionalText $Certificate 'Subject').Split(',')) {
        if ($part.Trim().StartsWith('CN=', [System.StringComparison]::OrdinalIgnoreCase)) {
            $part.Trim().Substring(3)
        }
    })
    $any = '*.' + ($Name.Split('.', 2))[-1]
    return $names -contains $Name -or $names -contains $any
}

# The certificate that the settings name, of several one that is valid now, and of those the one that is valid longest;
# nothing when that cannot be read.
function Find-Certificate {
    param([string] $Server, [string] $Name)
    if ($Name -eq '') {
        return $null
    }
    $state = @{ name = $Name; found = $false; valid_from = $null; valid_until = $null }
    $now = Format-Moment ([datetime]::UtcNow)
    $best = ''
    try {
        foreach ($row in @(Invoke-Exchange 'Get-ExchangeCertificate' @{ Server = $Server })) {
            $from = Get-OptionalMoment $row 'NotBefore'
            $until = Get-OptionalMoment $row 'NotAfter'
            # A renewed one may lie ready whose time has not come.
            $rank = [string] ([int] ([string]::CompareOrdinal([string] $from, $now) -le 0)) + [string] $until
            if ((Test-MadeOutTo $row $Name) -and [string]::CompareOrdinal($rank, $best) -gt 0) {
                $best = $rank
                $state.found = $true
                $state.valid_from = $from
                $state.valid_until = $until
            }
        }
    }
    catch {
        $context.warnings.Add((Hide-Secret (Get-Reason $_.Exception)))
        return $null
    }
    return $state
}

Complete-Call 'pop_settings' {
    $server = Get-ServerArgument
    $settings = Get-One 'Get-PopSettings' @{ Server = $server } 'Server' $server
    return @{
        server               = $server
        protocol_log_enabled = Get-Flag $settings 'ProtocolLogEnabled'
        log_location         = Get-Text $settings 'LogFileLocation'
        certificate          = Find-Certificate $server (Get-OptionalText $settings 'X509CertificateName')
    }
}
