# Stands in front of every shipped script: arguments, the Exchange session, and the one line of answer.
#
# Windows PowerShell 3.0 to 5.1. A script ends with one call of Complete-Call; that writes exactly one envelope (see
# daemon/exchange/answers.py) and exits 0, or, when it has acted and cannot say how that ended, writes none and exits 3.
# Arguments stay data: they are bound to parameters and never become part of a command.
# $Secret is a SecureString, empty when there is no second logon: no command may be given its text, or logs would hold it.
param($Call, $Secret)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$InformationPreference = 'SilentlyContinue'
# No text may follow the language of the server: not what is compared here, nor what Windows says.
$english = New-Object 'System.Globalization.CultureInfo' -ArgumentList 'en-US'
[System.Threading.Thread]::CurrentThread.CurrentCulture = $english
[System.Threading.Thread]::CurrentThread.CurrentUICulture = $english
# Windows PowerShell may write an array as {"value":[...],"Count":n}; without this type data it cannot.
Remove-TypeData -TypeName 'System.Array' -ErrorAction 'SilentlyContinue'

$context = @{
    session    = $null
    credential = $null
    warnings   = New-Object 'System.Collections.Generic.List[string]'
    # Whether something may have been changed. From then on no answer may say that nothing was tried.
    acted      = $false
}
# Seconds that Windows may take for one answer by CIM.
$cimSeconds = 30
$version = $PSVersionTable.PSVersion.ToString()

# Ends the script with an error kind of the contract.
function Stop-Call {
    param([string] $Kind, [string] $Message)
    $refusal = New-Object 'System.InvalidOperationException' -ArgumentList $Message
    $refusal.Data['exmedic'] = $Kind
    throw $refusal
}

# Hides our own password. Those of others are struck out where the answer is read, and where such a value ends shows by
# its line: so no line end is touched here. What breaks lines may have broken our password as well.
function Hide-Secret {
    param([string] $Text)
    $clean = $Text
    if ($null -ne $context.credential -and $Secret.Length -gt 0) {
        # Lines are broken at a blank as well, which is then gone: so those of the password's own need not be there.
        $characters = $context.credential.GetNetworkCredential().Password.ToCharArray()
        $pattern = @(foreach ($one in $characters) {
            if (-not [char]::IsWhiteSpace($one)) {
                [regex]::Escape([string] $one)
            }
        }) -join '\s*'
        if ($pattern -ne '') {
            $clean = [regex]::Replace($clean, $pattern, '***')
        }
    }
    $clean = $clean.Trim()
    if ($clean.Length -gt 1000) {
        $clean = $clean.Substring(0, 1000)
    }
    return $clean
}

function Format-Moment {
    param($Value)
    if ($null -eq $Value) {
        return $null
    }
    $utc = ([datetime] $Value).ToUniversalTime()
    # Exchange fills a time it does not have with the year 1.
    if ($utc.Year -lt 1900) {
        return $null
    }
    return $utc.ToString('yyyy-MM-ddTHH:mm:ss.ffffffZ', [cultureinfo]::InvariantCulture)
}

# The FQDN of this host, as it knows itself, without asking DNS.
function Get-HostName {
    $network = [System.Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    if ($network.DomainName) {
        return ($network.HostName + '.' + $network.DomainName).ToLowerInvariant()
    }
    return $network.HostName.ToLowerInvariant()
}

function Get-Argument {
    param([string] $Name)
    if ($null -eq $Call.args.PSObject.Properties[$Name]) {
        Stop-Call 'broken' "The argument '$Name' is missing."
    }
    return $Call.args.PSObject.Properties[$Name].Value
}

# Several Get cmdlets answer for every object when the identity is empty or unknown, so no name passes unchecked.
function Get-ServerArgument {
    $name = [string] (Get-Argument 'server')
    if ($name -cnotmatch '\A(?=.{3,255}\z)(?!.*\.[0-9]+\z)[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)+\z') {
        Stop-Call 'broken' "The argument 'server' is not the full name of a server."
    }
    return $name.ToLowerInvariant()
}

function Get-NameArgument {
    param([string] $Name)
    $text = [string] (Get-Argument $Name)
    if ($text -cnotmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z') {
        Stop-Call 'broken' "The argument '$Name' is not a name."
    }
    return $text
}

function Get-FlagArgument {
    param([string] $Name)
    $value = Get-Argument $Name
    if ($value -isnot [bool]) {
        Stop-Call 'broken' "The argument '$Name' is neither true nor false."
    }
    return $value
}

# A time with its offset; ConvertFrom-Json may have made a [datetime] of it already. Without one, versions differ in
# what they make of it, so it is refused.
function Get-MomentArgument {
    param([string] $Name)
    $value = Get-Argument $Name
    if ($value -is [datetime] -and $value.Kind -ne [System.DateTimeKind]::Unspecified) {
        return [System.DateTimeOffset] $value.ToUniversalTime()
    }
    $moment = [System.DateTimeOffset]::MinValue
    $style = [System.Globalization.DateTimeStyles]::None
    $text = [string] $value
    if ($text -cnotmatch '\A[0-9]{4}-.*(Z|[+-][0-9]{2}:?[0-9]{2})\z' -or
        -not [System.DateTimeOffset]::TryParse($text, [cultureinfo]::InvariantCulture, $style, [ref] $moment)) {
        Stop-Call 'broken' "The argument '$Name' is not a time with its offset from UTC."
    }
    return $moment
}

# Where a step leaves on this server's disk that it was about to act.
function Get-MarkPath {
    param([string] $Step)
    return [System.IO.Path]::Combine($env:ProgramData, 'exmedic', $Step + '.begun')
}

# Called before an effect that somebody else may have as well: when the answer is lost, the mark tells the two apart.
function Save-Mark {
    try {
        $path = Get-MarkPath ([string] $Call.step)
        [void] [System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($path))
        $mark = [System.IO.File]::Create($path)
        try {
            # On the disk before anything is done: after a power cut it must still be there.
            $mark.Flush($true)
        }
        finally {
            $mark.Dispose()
        }
    }
    catch {
        Stop-Call 'denied' ('Nothing was done: the mark of the step cannot be written: ' + (Get-Reason $_.Exception))
    }
}

# Called immediately before an effect: a call that was delayed on its way must not act long after it was decided.
function Assert-InTime {
    if ([System.DateTimeOffset]::UtcNow -ge (Get-MomentArgument 'not_after')) {
        Stop-Call 'expired' 'It is later than not_after on this server; nothing was done.'
    }
}

# The only door to what changes something. What fails behind it is for evidence to decide; only a named refusal of the
# very first change, by that change itself, proves that nothing was done.
function Invoke-Effect {
    param([scriptblock] $Effect)
    $first = -not $context.acted
    $context.acted = $true
    try {
        [void] @(& $Effect)
    }
    catch {
        if ($first -and (Find-Kind $_.Exception) -eq 'denied') {
            $context.acted = $false
        }
        throw
    }
}

# What Windows says of this machine, or of the one that `Session` was opened to.
function Read-Windows {
    param([string] $Class, [hashtable] $More = @{})
    Get-CimInstance -ClassName $Class -OperationTimeoutSec $cimSeconds @More
}

# A property that the answer depends on: its absence is an error, never a default.
function Get-Field {
    param($Row, [string] $Name)
    $property = $Row.PSObject.Properties[$Name]
    if ($null -eq $property -or $null -eq $property.Value) {
        Stop-Call 'broken' "The answer has no '$Name'."
    }
    return $property.Value
}

# Enums come back from a session as numbers with a text; the text is what is meant.
function Get-Text {
    param($Row, [string] $Name)
    return (Get-Field $Row $Name).ToString()
}

function Get-OptionalText {
    param($Row, [string] $Name)
    $property = $Row.PSObject.Properties[$Name]
    if ($null -eq $property -or $null -eq $property.Value) {
        return ''
    }
    return $property.Value.ToString()
}

function Get-OptionalMoment {
    param($Row, [string] $Name)
    $property = $Row.PSObject.Properties[$Name]
    if ($null -ne $property) {
        return Format-Moment $property.Value
    }
}

function Get-Flag {
    param($Row, [string] $Name)
    $value = Get-Field $Row $Name
    if ($value -is [bool]) {
        return $value
    }
    $text = $value.ToString()
    if ($text -eq 'True') {
        return $true
    }
    if ($text -eq 'False') {
        return $false
    }
    Stop-Call 'broken' "The answer has no clear '$Name'."
}

# Exchange names servers by short name in some places and by full name in others.
function Test-SameServer {
    param([string] $Named, [string] $Asked)
    if ($Named -eq '') {
        return $false
    }
    if ($Named.Contains('.')) {
        return $Named -eq $Asked
    }
    return $Named -eq $Asked.Split('.')[0]
}

function Assert-SameServer {
    param([string] $Named, [string] $Asked)
    if (-not (Test-SameServer $Named $Asked)) {
        Stop-Call 'broken' "Asked about $Asked, Exchange answered about '$Named'."
    }
}

function Find-Reason {
    param($Record)
    $reasons = @([string] $Record.CategoryInfo.Reason)
    $exception = $Record.Exception
    while ($null -ne $exception) {
        $reasons += $exception.GetType().Name
        if ($null -ne $exception.PSObject.Properties['ErrorRecord'] -and $null -ne $exception.ErrorRecord) {
            $reasons += [string] $exception.ErrorRecord.CategoryInfo.Reason
        }
        $exception = $exception.InnerException
    }
    return $reasons
}

function Stop-OnExchangeError {
    param([string] $Command, $Record)
    $reasons = @(Find-Reason $Record)
    $message = $Command + ': ' + $Record.Exception.Message
    if ($reasons -contains 'ManagementObjectNotFoundException') {
        Stop-Call 'not_found' $message
    }
    # A cmdlet that the caller's roles do not grant does not exist in the caller's session.
    if ($reasons -contains 'CommandNotFoundException' -or $reasons -contains 'ParameterBindingException') {
        Stop-Call 'denied' $message
    }
    Stop-Call 'broken' $message
}

# Nothing at all, and a word about it: that is no answer, least of all that there is nothing.
function Stop-OnBareWarning {
    param([string] $Command, [string[]] $Warnings)
    Stop-Call 'broken' ($Command + ' answered nothing but a warning: ' + $Warnings[0])
}

# Whether a number says that the logon itself was refused, wherever it was: 1312 no such logon session, 1326 logon
# failure, 1327 to 1331 and 1907 not allowed now, 1909 locked, 0x8009030C and 0x8009030E (no credentials) refused,
# 0x8033809D Kerberos failed.
function Test-Refused {
    param([int] $Code)
    return (1312, 1326, 1327, 1328, 1329, 1330, 1331, 1907, 1909, -2146893044, -2146893042, -2144108387) -contains $Code
}

function Stop-OnOpenError {
    param($Record)
    $code = 0
    if ($null -ne $Record.Exception.PSObject.Properties['ErrorCode']) {
        $code = [int] $Record.Exception.ErrorCode
    }
    $message = 'Opening the Microsoft.Exchange session: ' + $Record.Exception.Message
    # 5 is access denied: that logon was accepted.
    $refused = Test-Refused $code
    if (($refused -or $code -eq 5) -and $null -eq $context.credential) {
        Stop-Call 'second_hop' $message
    }
    if ($refused) {
        Stop-Call 'logon' $message
    }
    if ($code -eq 5) {
        Stop-Call 'denied' $message
    }
    # Another server may be able to.
    Stop-Call 'no_session' $message
}

function Open-Exchange {
    # Invoke-MonitoringProbe may take 300 s. A session that this process cannot close any more (it was killed) ends by
    # itself after three minutes. Texts and numbers in English, whatever the server speaks: Microsoft,
    # New-PSSessionOption, -Culture and -UICulture.
    $limits = @{ OpenTimeout = 60000; OperationTimeout = 330000; CancelTimeout = 15000; IdleTimeout = 180000 }
    $options = New-PSSessionOption -Culture 'en-US' -UICulture 'en-US' @limits
    $parameters = @{
        ConfigurationName = 'Microsoft.Exchange'
        ConnectionUri     = 'http://' + (Get-HostName) + '/PowerShell/'
        Authentication    = 'Kerberos'
        SessionOption     = $options
    }
    if ($null -ne $context.credential) {
        $parameters['Credential'] = $context.credential
    }
    try {
        $context.session = New-PSSession @parameters
    }
    catch {
        Stop-OnOpenError $_
    }
}

# The session runs no script blocks (no-language mode): one cmdlet with its parameters, and filtering here afterwards.
# `Warned`: a warning without an object says something, or the cmdlet answers with no object anyway.
function Invoke-Exchange {
    param([string] $Command, [hashtable] $Parameters, [switch] $Warned)
    if ($null -eq $context.session) {
        Open-Exchange
    }
    $shell = [System.Management.Automation.PowerShell]::Create()
    try {
        $shell.Runspace = $context.session.Runspace
        [void] $shell.AddCommand($Command)
        foreach ($name in $Parameters.Keys) {
            [void] $shell.AddParameter($name, $Parameters[$name])
        }
        $rows = @()
        try {
            $rows = @($shell.Invoke())
        }
        catch {
            Stop-OnExchangeError $Command $_
        }
        $warnings = [string[]] @(foreach ($warning in $shell.Streams.Warning) { Hide-Secret $warning.Message })
        $context.warnings.AddRange($warnings)
        if ($shell.Streams.Error.Count -gt 0) {
            Stop-OnExchangeError $Command $shell.Streams.Error[0]
        }
        if ($rows.Length -eq 0 -and $warnings.Length -gt 0 -and -not $Warned) {
            Stop-OnBareWarning $Command $warnings
        }
        foreach ($row in $rows) {
            if ($null -ne $row) {
                $row
            }
        }
    }
    finally {
        $shell.Dispose()
    }
}

# The identity of a directory object as text is its name, or the path that ends with it.
function Get-Leaf {
    param([string] $Text)
    return $Text.Split('/')[-1]
}

# One object, and it is the one asked for: `Property` names the server in it.
function Get-One {
    param([string] $Command, [hashtable] $Parameters, [string] $Property, [string] $Server)
    $rows = @(Invoke-Exchange $Command $Parameters)
    if ($rows.Length -ne 1) {
        Stop-Call 'broken' "$Command answered $($rows.Length) objects about $Server."
    }
    Assert-SameServer (Get-Leaf (Get-Text $rows[0] $Property)) $Server
    return $rows[0]
}

function Get-MailboxServerOf {
    param([string] $Server)
    return Get-One 'Get-MailboxServer' @{ Identity = $Server } 'Name' $Server
}

# The answer is out by now: whatever befalls a session that is being closed, it ends by itself.
function Close-Exchange {
    try {
        if ($null -ne $context.session) {
            Remove-PSSession -Session $context.session
        }
    }
    catch {
        $context.session = $null
    }
}

function Read-Credential {
    if ($null -eq $Call.PSObject.Properties['username']) {
        return
    }
    $arguments = @([string] $Call.username, $Secret)
    $context.credential = New-Object 'System.Management.Automation.PSCredential' -ArgumentList $arguments
}

# Whether an exception by itself, without those in it, says that access was denied. By type and number: the text is in
# the server's language.
function Test-Denied {
    param($Exception)
    # -2147024891 is E_ACCESSDENIED, 5 is ERROR_ACCESS_DENIED.
    if ($Exception -is [System.UnauthorizedAccessException] -or $Exception.HResult -eq -2147024891) {
        return $true
    }
    if ($Exception -is [System.ComponentModel.Win32Exception]) {
        return $Exception.NativeErrorCode -eq 5
    }
    # CIM's exceptions have codes of their own: Microsoft, Microsoft.Management.Infrastructure.NativeErrorCode.
    $code = $Exception.PSObject.Properties['NativeErrorCode']
    return $null -ne $code -and [string] $code.Value -eq 'AccessDenied'
}

function Find-Kind {
    param($Exception)
    while ($null -ne $Exception) {
        if ($Exception.Data.Contains('exmedic')) {
            return [string] $Exception.Data['exmedic']
        }
        if (Test-Denied $Exception) {
            return 'denied'
        }
        $Exception = $Exception.InnerException
    }
    return 'broken'
}

# What went wrong in words, with Windows' own reason, which stands in the innermost exception.
function Get-Reason {
    param($Exception)
    $told = [string] $Exception.Message
    $inner = $Exception.InnerException
    while ($null -ne $inner) {
        if (-not $told.Contains($inner.Message)) {
            $told += ' ' + $inner.Message
        }
        if ($inner -is [System.ComponentModel.Win32Exception]) {
            $told += " (error $($inner.NativeErrorCode))"
        }
        $inner = $inner.InnerException
    }
    return $told
}

# What the answer tells of an error. Of one that nobody expected also where it came from, so that it can be mended.
function ConvertTo-Problem {
    param($Record)
    $kind = Find-Kind $Record.Exception
    $told = Hide-Secret (Get-Reason $Record.Exception)
    if ($kind -eq 'broken' -and -not $Record.Exception.Data.Contains('exmedic')) {
        $told += " ($($Call.name), line $($Record.InvocationInfo.ScriptLineNumber), PowerShell $version)"
    }
    return @{ kind = $kind; message = $told }
}

# Bytes, so that neither the console's encoding nor its width can change the line.
function Write-Envelope {
    param($Result, $Problem)
    $envelope = @{
        exmedic    = 1
        script     = [string] $Call.name
        step       = [string] $Call.step
        host       = Get-HostName
        clock      = Format-Moment ([datetime]::UtcNow)
        ok         = ($null -eq $Problem)
        result     = $Result
        error      = $Problem
        # What Exchange warned of, and what runs this.
        warnings   = $context.warnings.ToArray()
        powershell = $version
    }
    $line = ConvertTo-Json -InputObject $envelope -Compress -Depth 6
    $encoding = New-Object 'System.Text.UTF8Encoding' -ArgumentList $false
    $bytes = $encoding.GetBytes($line + "`n")
    $stdout = [System.Console]::OpenStandardOutput()
    $stdout.Write($bytes, 0, $bytes.Length)
    $stdout.Flush()
}

# Runs a script's body, which returns one hashtable, and answers. The only place that writes an envelope.
function Complete-Call {
    param([string] $Script, [scriptblock] $Body)
    $result = $null
    $problem = $null
    $ended = 0
    try {
        try {
            Read-Credential
            if ($Call.name -cne $Script) {
                Stop-Call 'broken' 'The call names another script.'
            }
            $answers = @(& $Body)
            if ($answers.Length -ne 1 -or $answers[0] -isnot [hashtable]) {
                Stop-Call 'broken' "The script gave $($answers.Length) answers."
            }
            $result = $answers[0]
        }
        catch {
            $problem = ConvertTo-Problem $_
        }
        # An envelope would be taken for a no. These two know how what they did has ended.
        if ($null -ne $problem -and $context.acted -and 'hung', 'failed' -cnotcontains $problem.kind) {
            [System.Console]::Error.WriteLine($problem.message)
            $ended = 3
        }
        else {
            Write-Envelope $result $problem
        }
    }
    catch {
        # Whatever this is, it must not reach stderr as it is: it may quote a password.
        [System.Console]::Error.WriteLine('The answer could not be written: ' + $_.Exception.GetType().Name)
        $ended = 3
    }
    finally {
        Close-Exchange
    }
    exit $ended
}
