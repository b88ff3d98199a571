<#
.SYNOPSIS
Publishes alerts of SCOM on an MQTT 5 broker, for exmedic: one alert a message, UTF-8, at QoS 1.

.DESCRIPTION
For a command notification channel (-AlertId), for a scheduled task (-ChangedSince), or for a file of JSON (-Path).
It runs in Windows PowerShell 5.1 on a management server, where the module OperationsManager is.

Without -MosquittoPub it speaks MQTT itself and needs nothing but .NET. What stands in -CredentialFile is never on a
command line; the file is one of mosquitto_pub's own, with an option a line:

    -u scom
    -P the password

Exit codes: 0 published, and the broker has acknowledged it. 1 wrong usage, or a file that cannot be used. 2 SCOM does
not have the alert, or cannot be asked. 3 the broker cannot be reached, or refused. 4 the broker took it, and nobody has
subscribed to the topic: exmedic has never been connected, or its configuration names another one.
The reason is one line on standard error.

.EXAMPLE
powershell.exe -NoProfile -File C:\exmedic\Publish-ScomAlert.ps1 -AlertId "$Data/Context/DataItem/AlertId$"
-Broker broker.contoso.com -Tls -CredentialFile C:\exmedic\mosquitto_pub.conf

As a command channel of SCOM, the full path of the program and the parameters in two fields.

.EXAMPLE
.\Publish-ScomAlert.ps1 -ChangedSince C:\exmedic\last.txt -Criteria "PrincipalName LIKE 'mbx%'" -Broker broker

As a scheduled task: every alert that was raised or changed since the last run.
#>
[CmdletBinding()]
param(
    # The Id of one alert.
    [Parameter(Mandatory = $true, ParameterSetName = 'Alert')] [string] $AlertId,
    # A file that keeps how far the last run came. The first run begins an hour back.
    [Parameter(Mandatory = $true, ParameterSetName = 'Changed')] [string] $ChangedSince,
    # Which alerts: the criteria of Get-SCOMAlert. Only those that exmedic is to see.
    [Parameter(Mandatory = $true, ParameterSetName = 'Changed')] [string] $Criteria,
    # A file with one alert as JSON in UTF-8; its bytes travel as they are.
    [Parameter(Mandatory = $true, ParameterSetName = 'File')] [string] $Path,
    [string] $ManagementServer = 'localhost',

    [Parameter(Mandatory = $true)] [string] $Broker,
    [int] $Port = 0,
    [string] $Topic = 'alerts/scom/site',
    # Options of mosquitto_pub, one a line; -u and -P are read. Nobody but administrators and this account may read it.
    [string] $CredentialFile = '',
    [switch] $Tls,
    # PEM; without it the certificate authorities that Windows trusts.
    [string] $CaFile = '',
    # The client's certificate: its thumbprint in the machine's or the account's store, or a .pfx without a password.
    # With -MosquittoPub: --cert and --key in the file of -CredentialFile.
    [string] $Certificate = '',
    # The path of mosquitto_pub.exe, to publish with it.
    [string] $MosquittoPub = '',
    [int] $TimeoutSeconds = 10
)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2
$onWindows = $env:OS -eq 'Windows_NT'
$overTls = $Tls -or $CaFile -or $Certificate
if (-not $Port) { $Port = 1883; if ($overTls) { $Port = 8883 } }
$place = "the broker at ${Broker}:$Port"

# What ends the script: its exit code, and the one line that says why.
function Stop-Publishing([int] $Code, [string] $Why) {
    $stop = New-Object InvalidOperationException $Why
    $stop.Data['exmedic'] = $Code
    throw $stop
}

# ---- from SCOM ----

# What is published of an alert.
$texts = 'Id', 'Name', 'Description', 'Severity', 'PrincipalName', 'NetbiosComputerName', 'MonitoringObjectPath',
'MonitoringObjectName', 'MonitoringObjectDisplayName', 'MonitoringObjectFullName', 'Owner'
$numbers = 'ResolutionState', 'RepeatCount'
$times = 'TimeRaised', 'LastModified'

function Format-Moment($Value) {
    $moment = [datetime] $Value
    # SCOM's times are UTC, whether they say so or not.
    if ($moment.Kind -eq [DateTimeKind]::Local) { $moment = $moment.ToUniversalTime() }
    $moment.ToString('yyyy-MM-ddTHH:mm:ss.fff', [Globalization.CultureInfo]::InvariantCulture) + 'Z'
}

function ConvertTo-Payload($Alert) {
    $fields = [ordered] @{}
    # In "" each text becomes a plain one: what PowerShell hangs on a value, 5.1 would write as an object.
    foreach ($property in $Alert.PSObject.Properties) {
        $name = $property.Name
        if ($null -eq $property.Value) { continue }
        if ($texts -contains $name) { $fields[$name] = "$($property.Value)" }
        if ($numbers -contains $name) { $fields[$name] = [int] $property.Value }
        if ($times -contains $name) { $fields[$name] = Format-Moment $property.Value }
        if ($name -eq 'MonitoringObjectInMaintenanceMode') { $fields[$name] = [bool] $property.Value }
    }
    , [Text.Encoding]::UTF8.GetBytes((ConvertTo-Json $fields -Compress))
}

function Find-Alert([hashtable] $Wanted) {
    try {
        Import-Module OperationsManager
        , @(Get-SCOMAlert @Wanted -ComputerName $ManagementServer)
    }
    catch { Stop-Publishing 2 "SCOM at $ManagementServer cannot be asked: $($_.Exception.Message)" }
}

function Read-Since {
    if (-not [IO.File]::Exists($ChangedSince)) { return [datetime]::UtcNow.AddHours(-1) }
    $text = [IO.File]::ReadAllText($ChangedSince).Trim()
    $styles = [Globalization.DateTimeStyles]::AdjustToUniversal -bor [Globalization.DateTimeStyles]::AssumeUniversal
    $since = [datetime]::MinValue
    if (-not [datetime]::TryParse($text, [Globalization.CultureInfo]::InvariantCulture, $styles, [ref] $since)) {
        Stop-Publishing 1 "$ChangedSince holds no time: delete it, and the next run begins an hour back"
    }
    $since
}

# ---- MQTT 5 (docs.oasis-open.org/mqtt/mqtt/v5.0), as much of it as publishing needs ----

$reasons = @{
    16 = 'nobody has subscribed'; 128 = 'unspecified error'; 129 = 'malformed packet'; 130 = 'protocol error'
    131 = 'the broker does not do this'; 132 = 'the broker does not speak MQTT 5'; 133 = 'the client id is not allowed'
    134 = 'the user name or the password is wrong: see -CredentialFile'
    135 = 'not authorized: give this user write access to the topic'
    136 = 'the broker is not available'; 137 = 'the broker is busy'; 138 = 'banned'; 144 = 'the topic is not allowed'
    149 = 'larger than the broker takes'; 151 = 'a quota is exceeded'; 153 = 'the payload has the wrong format'
    155 = 'QoS 1 is not supported'; 159 = 'too many connections at once'
}

function Get-Reason([int] $Code) {
    if ($reasons.ContainsKey($Code)) { return "$($reasons[$Code]) ($Code)" }
    "reason code $Code"
}

function Add-Number($Buffer, [int] $Number) {
    $Buffer.WriteByte([byte] ($Number -shr 8))
    $Buffer.WriteByte([byte] ($Number -band 255))
}

function Add-Text($Buffer, [string] $Text) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text)
    if ($bytes.Length -gt 65535) { Stop-Publishing 1 'a topic, user name or password has more than 65535 bytes' }
    Add-Number $Buffer $bytes.Length
    $Buffer.Write($bytes, 0, $bytes.Length)
}

function Send-Packet($Stream, [int] $Kind, [IO.MemoryStream] $Body) {
    $packet = New-Object IO.MemoryStream
    $packet.WriteByte([byte] $Kind)
    $rest = [int] $Body.Length
    do {
        $digit = $rest -band 127
        $rest = $rest -shr 7
        if ($rest) { $digit = $digit -bor 128 }
        $packet.WriteByte([byte] $digit)
    } while ($rest)
    $Body.WriteTo($packet)
    $bytes = $packet.ToArray()
    $Stream.Write($bytes, 0, $bytes.Length)
    $Stream.Flush()
}

function Read-Byte($Stream) {
    $byte = $Stream.ReadByte()
    if ($byte -lt 0) { Stop-Publishing 3 "$place hung up" }
    $byte
}

function Read-Packet($Stream) {
    $kind = Read-Byte $Stream
    $length = 0
    $shift = 0
    do {
        $digit = Read-Byte $Stream
        $length = $length -bor (($digit -band 127) -shl $shift)
        $shift += 7
    } while (($digit -band 128) -and $shift -lt 28)
    if ($length -gt 65536) { Stop-Publishing 3 "$place does not answer as MQTT does: is it a broker?" }
    $body = New-Object byte[] $length
    for ($at = 0; $at -lt $length; $at++) { $body[$at] = Read-Byte $Stream }
    @{ Kind = $kind -band 0xF0; Body = $body }
}

# The next packet of a kind, and its reason code. DISCONNECT tells why the broker ends it.
function Wait-Answer($Stream, [int] $Kind, [int] $At) {
    while ($true) {
        $packet = Read-Packet $Stream
        $code = 0
        if ($packet.Kind -eq 0xE0) {
            if ($packet.Body.Length) { $code = $packet.Body[0] }
            Stop-Publishing 3 "$place ended the connection: $(Get-Reason $code)"
        }
        if ($packet.Kind -eq $Kind) {
            if ($packet.Body.Length -gt $At) { $code = $packet.Body[$At] }
            return $code
        }
    }
}

function Read-Options {
    $options = @{}
    if (-not $CredentialFile) { return $options }
    if (-not [IO.File]::Exists($CredentialFile)) { Stop-Publishing 1 "there is no file $CredentialFile" }
    if ($onWindows) { Assert-Private $CredentialFile }
    foreach ($line in [IO.File]::ReadAllLines($CredentialFile)) {
        $name, $value = $line -split ' ', 2
        if ($name -ceq '-u' -or $name -ceq '--username') { $options['user'] = $value }
        if ($name -ceq '-P' -or $name -ceq '--pw') { $options['password'] = $value }
    }
    $options
}

# Everyone, Authenticated Users and Users.
$everybody = 'S-1-1-0', 'S-1-5-11', 'S-1-5-32-545'

function Assert-Private([string] $File) {
    $rules = (Get-Acl -LiteralPath $File).GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])
    foreach ($rule in $rules) {
        if ("$($rule.AccessControlType)" -eq 'Allow' -and $everybody -contains "$($rule.IdentityReference)") {
            $todo = 'icacls FILE /inheritance:r /grant:r Administrators:F ACCOUNT:R, with the account of this script'
            Stop-Publishing 1 "$File may be read by everybody ($($rule.IdentityReference)): $todo"
        }
    }
}

function Read-CaFile {
    $found = New-Object Security.Cryptography.X509Certificates.X509Certificate2Collection
    $pem = [regex]::Matches([IO.File]::ReadAllText($CaFile), '-----BEGIN CERTIFICATE-----([^-]+)-----END')
    foreach ($one in $pem) {
        $bytes = [Convert]::FromBase64String(($one.Groups[1].Value -replace '\s', ''))
        [void] $found.Add((New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, $bytes)))
    }
    if (-not $found.Count) { Stop-Publishing 1 "$CaFile holds no certificate in PEM" }
    , $found
}

function Read-ClientCertificate {
    $found = New-Object Security.Cryptography.X509Certificates.X509Certificate2Collection
    if (-not $Certificate) { return , $found }
    if ([IO.File]::Exists($Certificate)) {
        if ($onWindows) { Assert-Private $Certificate }
        [void] $found.Add((New-Object Security.Cryptography.X509Certificates.X509Certificate2 $Certificate))
        return , $found
    }
    foreach ($where in 'LocalMachine', 'CurrentUser') {
        $store = New-Object Security.Cryptography.X509Certificates.X509Store 'My', $where
        $store.Open('ReadOnly')
        $found.AddRange($store.Certificates.Find('FindByThumbprint', $Certificate, $false))
        $store.Close()
    }
    if (-not $found.Count) { Stop-Publishing 1 "-Certificate $Certificate is no file, and no thumbprint known here" }
    , $found
}

# Whether a certificate is of a name that was asked for, and leads to an authority of the file.
function Test-ServerCertificate($Presented, $Chain, $Errors, $Authorities) {
    $bad = [Net.Security.SslPolicyErrors] 'RemoteCertificateNameMismatch, RemoteCertificateNotAvailable'
    if ($Errors -band $bad) { return $false }
    $Chain.ChainPolicy.ExtraStore.AddRange($Authorities)
    $Chain.ChainPolicy.RevocationMode = 'NoCheck'
    $Chain.ChainPolicy.VerificationFlags = 'AllowUnknownCertificateAuthority'
    if (-not $Chain.Build($Presented)) { return $false }
    $root = $Chain.ChainElements[$Chain.ChainElements.Count - 1].Certificate
    foreach ($authority in $Authorities) { if ($authority.Thumbprint -eq $root.Thumbprint) { return $true } }
    $false
}

function Open-Stream([Net.Sockets.TcpClient] $Socket) {
    $connecting = $Socket.BeginConnect($Broker, $Port, $null, $null)
    if (-not $connecting.AsyncWaitHandle.WaitOne($TimeoutSeconds * 1000)) { Stop-Publishing 3 "$place does not answer" }
    $Socket.EndConnect($connecting)
    $stream = $Socket.GetStream()
    $stream.ReadTimeout = $stream.WriteTimeout = $TimeoutSeconds * 1000
    if (-not $overTls) { return $stream }
    $check = $null
    if ($CaFile) {
        $authorities = Read-CaFile
        $check = [Net.Security.RemoteCertificateValidationCallback] {
            param($from, $presented, $chain, $errors)
            Test-ServerCertificate $presented $chain $errors $authorities
        }
    }
    $secure = New-Object Net.Security.SslStream $stream, $false, $check
    $shown = Read-ClientCertificate
    $secure.AuthenticateAsClient($Broker, $shown, [Security.Authentication.SslProtocols]::Tls12, $false)
    $secure
}

# One connection for all payloads; $Done is called after each that was acknowledged.
function Publish-BySocket([object[]] $Payloads, [scriptblock] $Done) {
    $options = Read-Options
    $socket = New-Object Net.Sockets.TcpClient
    try {
        $stream = Open-Stream $socket
        $connect = New-Object IO.MemoryStream
        Add-Text $connect 'MQTT'
        $flags = 2  # clean start
        if ($options.ContainsKey('user')) { $flags = $flags -bor 128 }
        if ($options.ContainsKey('password')) { $flags = $flags -bor 64 }
        foreach ($byte in 5, $flags, 0, 60, 0) { $connect.WriteByte([byte] $byte) }
        Add-Text $connect ('exmedic-scom-' + [guid]::NewGuid().ToString('n').Substring(0, 9))
        if ($options.ContainsKey('user')) { Add-Text $connect $options['user'] }
        if ($options.ContainsKey('password')) { Add-Text $connect $options['password'] }
        Send-Packet $stream 0x10 $connect
        $code = Wait-Answer $stream 0x20 1
        if ($code) { Stop-Publishing 3 "$place refused the connection: $(Get-Reason $code)" }
        $number = 0
        foreach ($payload in $Payloads) {
            $number = $number % 65535 + 1
            $publish = New-Object IO.MemoryStream
            Add-Text $publish $Topic
            Add-Number $publish $number
            $publish.WriteByte(0)
            $publish.Write($payload, 0, $payload.Length)
            Send-Packet $stream 0x32 $publish
            $code = Wait-Answer $stream 0x40 2
            if ($code -eq 16) {
                Stop-Publishing 4 ("$place took it, and nobody has subscribed to ${Topic}: " +
                    'has exmedic ever been connected, and is the topic one of its own?')
            }
            if ($code -ge 128) { Stop-Publishing 3 "$place refused the alert on ${Topic}: $(Get-Reason $code)" }
            & $Done
        }
        Send-Packet $stream 0xE0 (New-Object IO.MemoryStream)
    }
    catch {
        $cause = $_.Exception.GetBaseException()
        if ($cause.Data.Contains('exmedic')) { throw $cause }
        Stop-Publishing 3 "${place}: $($cause.Message)"
    }
    finally { $socket.Close() }
}

# ---- with mosquitto_pub ----

# As the C runtime reads it back, which is what PowerShell 5.1 does not do for every text.
function ConvertTo-Argument([string] $Text) {
    '"' + ($Text -replace '(\\*)"', '$1$1\"' -replace '(\\+)$', '$1$1') + '"'
}

function Publish-ByProgram([object[]] $Payloads, [scriptblock] $Done) {
    $start = New-Object Diagnostics.ProcessStartInfo $MosquittoPub
    $start.UseShellExecute = $false
    $start.RedirectStandardError = $true
    if ($CredentialFile) {
        [void] (Read-Options)  # it is there, and private
        # Where mosquitto_pub looks for its options by itself, so that none of them is on a command line.
        $name = 'mosquitto_pub'
        if ($onWindows) { $name = 'mosquitto_pub.conf' }
        if ([IO.Path]::GetFileName($CredentialFile) -ne $name) {
            Stop-Publishing 1 "mosquitto_pub reads its options from a file named ${name}: rename $CredentialFile"
        }
        $folder = [IO.Path]::GetDirectoryName([IO.Path]::GetFullPath($CredentialFile))
        foreach ($variable in 'USERPROFILE', 'XDG_CONFIG_HOME') { $start.EnvironmentVariables[$variable] = $folder }
    }
    foreach ($payload in $Payloads) {
        # A file, since Windows PowerShell pipes ASCII into a program; -f sends it as one message.
        $file = [IO.Path]::GetTempFileName()
        try {
            [IO.File]::WriteAllBytes($file, $payload)
            $words = '-h', $Broker, '-p', $Port, '-V', '5', '-q', '1', '-t', $Topic, '-f', $file
            if ($CaFile) { $words += '--cafile', $CaFile }
            elseif ($overTls) { $words += '--tls-use-os-certs' }
            $start.Arguments = ($words | ForEach-Object { ConvertTo-Argument $_ }) -join ' '
            $process = [Diagnostics.Process]::Start($start)
            $told = $process.StandardError.ReadToEnd()
            $process.WaitForExit()
        }
        finally { [IO.File]::Delete($file) }
        # It ends with 0 where the broker refuses a message, and only says so.
        if ($process.ExitCode -or $told -match 'Publish .* failed') {
            Stop-Publishing 3 "mosquitto_pub ended with $($process.ExitCode) at ${place}: $told"
        }
        & $Done
    }
}

# ---- what was asked for ----

function Publish-All([object[]] $Payloads, [scriptblock] $Done = {}) {
    if (-not $Payloads.Count) { return }
    if ($MosquittoPub) { Publish-ByProgram $Payloads $Done } else { Publish-BySocket $Payloads $Done }
}

function Publish-Changed {
    $since = Read-Since
    # A minute twice rather than never: exmedic drops what it has.
    $text = $since.AddMinutes(-1).ToString('MM/dd/yyyy HH:mm:ss', [Globalization.CultureInfo]::InvariantCulture)
    $alerts = @((Find-Alert @{ Criteria = "LastModified >= '$text' AND ($Criteria)" }) | Sort-Object LastModified)
    $payloads = @($alerts | ForEach-Object { , (ConvertTo-Payload $_) })
    $published = @{ Number = 0 }
    Publish-All $payloads {
        # After each: what a broken connection leaves is published by the next run.
        [IO.File]::WriteAllText($ChangedSince, (Format-Moment $alerts[$published.Number].LastModified))
        $published.Number++
    }
    if (-not $payloads.Count) { [IO.File]::WriteAllText($ChangedSince, (Format-Moment $since)) }
    $payloads.Count
}

try {
    $number = 1
    if ($PSCmdlet.ParameterSetName -eq 'File') {
        if (-not [IO.File]::Exists($Path)) { Stop-Publishing 1 "there is no file $Path" }
        Publish-All @(, [IO.File]::ReadAllBytes($Path))
    }
    elseif ($PSCmdlet.ParameterSetName -eq 'Changed') { $number = Publish-Changed }
    else {
        $id = [guid]::Empty
        if (-not [guid]::TryParse($AlertId, [ref] $id)) { Stop-Publishing 1 "$AlertId is not the Id of an alert" }
        $found = Find-Alert @{ Id = $id }
        if (-not $found.Count) { Stop-Publishing 2 "SCOM at $ManagementServer has no alert $id" }
        Publish-All @(, (ConvertTo-Payload $found[0]))
    }
    Write-Output "published $number on $Topic at ${Broker}:$Port"
    exit 0
}
catch {
    $cause = $_.Exception.GetBaseException()
    $code = 1
    if ($cause.Data.Contains('exmedic')) { $code = $cause.Data['exmedic'] }
    [Console]::Error.WriteLine("Publish-ScomAlert: $($cause.Message -replace '\s+', ' ')")
    exit $code
}
