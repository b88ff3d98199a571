# The part of this server's POP protocol log that belongs to some users' sessions within a span of time. Opens only
# *.log files that lie in the folder itself, and reads of them only the part around that span. Changes nothing.

$mostRows = 2000
$mostCharacters = 1048576
$mostFiles = 20
$mostLines = 200000
# How a line begins that the service has written: the time in UTC, to the millisecond.
$usual = [regex] '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z,'
# Lines are written when a command ends and may stand a little out of order.
$margin = [timespan]::FromMinutes(2)

function Get-FolderArgument {
    $folder = [string] (Get-Argument 'folder')
    # A local path without wildcards and without steps upwards.
    if ($folder -cnotmatch '\A[A-Za-z]:(\\[A-Za-z0-9][A-Za-z0-9 ._()-]*)+\\?\z' -or $folder.Contains('..')) {
        Stop-Call 'broken' "The argument 'folder' is not the full name of a local folder."
    }
    if (-not [System.IO.Directory]::Exists($folder)) {
        Stop-Call 'not_found' "This server has no folder $folder."
    }
    return $folder
}

function Get-UsersArgument {
    $users = @(Get-Argument 'users')
    foreach ($user in $users) {
        if (([string] $user) -cnotmatch '\A[A-Za-z0-9_.@*-]{1,128}\z') {
            Stop-Call 'broken' "The argument 'users' holds something that is not the name of a mailbox."
        }
    }
    if ($users.Length -eq 0) {
        Stop-Call 'broken' "The argument 'users' names nobody."
    }
    return $users
}

# CSV as the service writes it: a field that begins with a quote ends with one, and holds doubled ones.
function Split-Line {
    param([string] $Line)
    $fields = New-Object 'System.Collections.Generic.List[string]'
    foreach ($match in [regex]::Matches(',' + $Line, ',(?:"((?:[^"]|"")*)"|([^,]*))')) {
        if ($match.Groups[1].Success) {
            $fields.Add($match.Groups[1].Value.Replace('""', '"'))
        }
        else {
            $fields.Add($match.Groups[2].Value)
        }
    }
    return , $fields.ToArray()
}

function ConvertTo-LineMoment {
    param([string] $Text)
    $culture = [cultureinfo]::InvariantCulture
    $style = [System.Globalization.DateTimeStyles]'AssumeUniversal, AdjustToUniversal'
    $moment = [datetime]::MinValue
    if ([datetime]::TryParse($Text, $culture, $style, [ref] $moment)) {
        return $moment
    }
    return $null
}

# The service holds the newest file open for writing, so others must be allowed to write it, and to remove it.
function Open-Log {
    param([string] $Path)
    $sharing = [System.IO.FileShare]'ReadWrite, Delete'
    $arguments = @($Path, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read, $sharing)
    return New-Object 'System.IO.FileStream' -ArgumentList $arguments
}

function Open-Reader {
    param($Stream, [int64] $Offset)
    [void] $Stream.Seek($Offset, [System.IO.SeekOrigin]::Begin)
    return New-Object 'System.IO.StreamReader' -ArgumentList @($Stream, [System.Text.Encoding]::UTF8)
}

# The names after `#Fields:`, from the comments at the head of the file.
function Read-Columns {
    param($Stream)
    $reader = Open-Reader $Stream 0
    for ($number = 0; $number -lt 50; $number++) {
        $line = $reader.ReadLine()
        if ($null -eq $line -or -not $line.StartsWith('#')) {
            break
        }
        if ($line -cmatch '\A#Fields:\s*(.+)\z') {
            $names = @($Matches[1].Split(',') | ForEach-Object -Process { $_.Trim() })
            foreach ($needed in 'dateTime', 'sessionId', 'user') {
                if ($names -notcontains $needed) {
                    Stop-Call 'broken' "A protocol log of this server has no column $needed."
                }
            }
            return , [string[]] $names
        }
    }
    Stop-Call 'broken' 'A protocol log of this server does not say at its head which columns it has.'
}

function Find-Column {
    param([string[]] $Columns, [string] $Name)
    for ($number = 0; $number -lt $Columns.Length; $number++) {
        if ($Columns[$number] -eq $Name) {
            return $number
        }
    }
}

# When a line was written; nothing for what is no line of a session.
function Get-LineMoment {
    param([string[]] $Fields, [int] $Column)
    if ($Fields.Length -le $Column -or $Fields[0].StartsWith('#')) {
        return $null
    }
    return ConvertTo-LineMoment $Fields[$Column]
}

# Where to begin reading: lines before that offset are older than the span. A day's log has more than can be read.
function Find-Offset {
    param($Stream, [int] $Column, [datetime] $From)
    $low = [int64] 0
    $high = [int64] $Stream.Length
    while ($high - $low -gt 65536) {
        $middle = [int64] [System.Math]::Floor(($low + $high) / 2)
        $reader = Open-Reader $Stream $middle
        [void] $reader.ReadLine()
        $moment = $null
        for ($number = 0; $number -lt 20 -and $null -eq $moment -and -not $reader.EndOfStream; $number++) {
            $moment = Get-LineMoment (Split-Line ([string] $reader.ReadLine())) $Column
        }
        if ($null -ne $moment -and $moment -lt $From) {
            $low = $middle
        }
        else {
            $high = $middle
        }
    }
    return $low
}

# The patterns as an expression for a name with its domain or without, and one for a line that may hold such a name.
function Join-Patterns {
    param([string[]] $Patterns)
    $each = @(foreach ($pattern in $Patterns) { [regex]::Escape($pattern).Replace('\*', '[^,]*') }) -join '|'
    $options = [System.Text.RegularExpressions.RegexOptions]'IgnoreCase, CultureInvariant'
    $texts = @{ name = '\A(?:[^\\]*\\)?(?:' + $each + ')\z'; line = '(?:' + $each + ')' }
    $found = @{}
    foreach ($key in 'name', 'line') {
        $found[$key] = New-Object 'System.Text.RegularExpressions.Regex' -ArgumentList @($texts[$key], $options)
    }
    return $found
}

# The columns up to the last of some as a line has them, and after them one piece that holds the rest. A line is split
# to its end only where it must be: that costs a hundred times as much.
function Split-Head {
    param([string] $Line, [int] $Pieces)
    # Of the type that one overload has, or versions choose differently.
    $cells = $Line.Split([char[]] ',', $Pieces, [System.StringSplitOptions]::None)
    $rest = $cells[$cells.Length - 1].Length
    if ($Line.Substring(0, $Line.Length - $rest).Contains('"')) {
        return , (Split-Line $Line)
    }
    return , $cells
}

# Whether what was read last ends with the end of a line.
function Test-Finished {
    param($Stream)
    [void] $Stream.Seek(-1, [System.IO.SeekOrigin]::Current)
    return $Stream.ReadByte() -eq 10
}

# The lines of one file within the span, unsplit, each with the session that it belongs to.
function Read-Span {
    param([string] $Path, [datetime] $Since, [datetime] $Until)
    $lines = New-Object 'System.Collections.Generic.List[string]'
    $ids = New-Object 'System.Collections.Generic.List[string]'
    $stream = Open-Log $Path
    try {
        # Begun and not written to yet.
        if ($stream.Length -eq 0) {
            return @{ columns = [string[]] @(); lines = $lines; ids = $ids }
        }
        $columns = Read-Columns $stream
        $at = Find-Column $columns 'dateTime'
        $session = Find-Column $columns 'sessionId'
        $pieces = [System.Math]::Max($at, $session) + 2
        $offset = Find-Offset $stream $at ($Since - $margin)
        $reader = Open-Reader $stream $offset
        if ($offset -gt 0) {
            [void] $reader.ReadLine()
        }
        $last = $Until + $margin
        $format = 'yyyy-MM-ddTHH:mm:ss.fffZ'
        $first = $Since.ToString($format, [cultureinfo]::InvariantCulture)
        $plain = $at -eq 0 -and $session -eq 1
        $latest = $null
        while ($null -ne ($line = $reader.ReadLine())) {
            $latest = $line
            # Most lines are older than the span, and written as the service writes them: a look at the text is enough.
            if ($plain -and $usual.IsMatch($line) -and [string]::CompareOrdinal($line, 0, $first, 0, 24) -lt 0) {
                continue
            }
            $cells = Split-Head $line $pieces
            $moment = Get-LineMoment $cells $at
            if ($null -eq $moment -or $moment -lt $Since -or $cells.Length -le $session) {
                continue
            }
            if ($moment -gt $last) {
                break
            }
            if ($moment -le $Until) {
                $lines.Add($line)
                $ids.Add($cells[$session])
            }
            if ($lines.Count -gt $mostLines) {
                Stop-Call 'broken' 'The protocol log has more lines for that time than can be read; ask for less time.'
            }
        }
        # The service may not have finished writing the last line. How many cells it has tells nothing: there are
        # services that leave out the last one.
        $end = $lines.Count - 1
        if ($null -eq $line -and $end -ge 0 -and $lines[$end] -ceq $latest -and -not (Test-Finished $stream)) {
            $lines.RemoveAt($end)
            $ids.RemoveAt($end)
        }
        return @{ columns = $columns; lines = $lines; ids = $ids }
    }
    finally {
        $stream.Dispose()
    }
}

# Whether a file is the back end's, by its name (unconfirmed). It is full of probes that other servers' front ends have
# handed on, and they tell nothing of where this one hands them.
function Test-BackEnd {
    param([string] $Name)
    return (Get-Series $Name).EndsWith('be', [System.StringComparison]::Ordinal)
}

# The newest files of the front end that can hold something of the span. When a file was last written is known only once
# it is closed, so that says nothing about the newest.
function Find-Files {
    param([string] $Folder, [datetime] $Until)
    $information = New-Object 'System.IO.DirectoryInfo' -ArgumentList $Folder
    $link = [System.IO.FileAttributes]::ReparsePoint
    # Windows takes *.log for *.log1 as well, and a link may lead out of the folder.
    $files = @($information.GetFiles('*.log') | Where-Object {
        $_.Extension -eq '.log' -and $_.CreationTimeUtc -le $Until -and ($_.Attributes -band $link) -eq 0 -and
            -not (Test-BackEnd $_.Name)
    })
    return @($files | Sort-Object -Property 'CreationTimeUtc', 'Name' -Descending | Select-Object -First $mostFiles)
}

function Get-Cell {
    param([string[]] $Row, $Number)
    if ($null -eq $Number -or $Number -ge $Row.Length) {
        return ''
    }
    return $Row[$Number]
}

# Front and back end write side by side into one folder, and both number their sessions from 1 at each start: so a
# session is one of a series of files, which their names tell before the date.
function Get-Series {
    param([string] $Name)
    return [regex]::Replace($Name.ToLowerInvariant(), '[0-9]{8,}.*\z', '')
}

# Whether a line is of one of the users: logged on as one, or, where the logon was refused before anybody knew who it
# was, from this server itself with such a name as the parameter.
function Test-Line {
    param([string[]] $Cells, [hashtable] $Part, [regex] $Name)
    $user = Get-Cell $Cells (Find-Column $Part.columns 'user')
    if ($user -ne '') {
        return $Name.IsMatch($user)
    }
    $client = Get-Cell $Cells (Find-Column $Part.columns 'cIp')
    $itself = $client.StartsWith('127.', [System.StringComparison]::Ordinal) -or
        $client.StartsWith('[::1]', [System.StringComparison]::Ordinal)
    return $itself -and $Name.IsMatch((Get-Cell $Cells (Find-Column $Part.columns 'parameters')))
}

function Add-Sessions {
    param([hashtable] $Part, [hashtable] $Users, $Sessions)
    for ($number = 0; $number -lt $Part.lines.Count; $number++) {
        $line = $Part.lines[$number]
        $key = $Part.series + '/' + $Part.ids[$number]
        if ($Sessions.Contains($key) -or -not $Users.line.IsMatch($line)) {
            continue
        }
        if (Test-Line (Split-Line $line) $Part $Users.name) {
            [void] $Sessions.Add($key)
        }
    }
}

# A service that was started again gives the numbers of its sessions once more, so a line whose number within its session
# does not grow begins another session: of all that have a number, those that are the users' own.
function Select-Own {
    param($Parts, [hashtable] $Users, $Sessions)
    $own = New-Object 'System.Collections.Generic.HashSet[string]'
    $last = @{}
    $starts = @{}
    foreach ($part in $Parts) {
        $place = Find-Column $part.columns 'seqNumber'
        for ($number = 0; $number -lt $part.lines.Count; $number++) {
            $key = $part.series + '/' + $part.ids[$number]
            if (-not $Sessions.Contains($key)) {
                continue
            }
            $cells = Split-Line $part.lines[$number]
            $count = [int64] -1
            if ([int64]::TryParse((Get-Cell $cells $place), [ref] $count)) {
                if ($last.ContainsKey($key) -and $count -le $last[$key]) {
                    $starts[$key] = 1 + $starts[$key]
                }
                $last[$key] = $count
            }
            $part.ids[$number] += '/' + [string] $starts[$key]
            if ($Users.line.IsMatch($part.lines[$number]) -and (Test-Line $cells $part $Users.name)) {
                [void] $own.Add($part.series + '/' + $part.ids[$number])
            }
        }
    }
    return , $own
}

# Files of different versions have different columns; all rows are told in the order of the first.
function Select-Rows {
    param($Parts, $Sessions)
    $columns = [string[]] @()
    $rows = New-Object 'System.Collections.Generic.List[object]'
    $characters = 0
    foreach ($part in $Parts) {
        $places = $null
        for ($number = 0; $number -lt $part.lines.Count; $number++) {
            if (-not $Sessions.Contains($part.series + '/' + $part.ids[$number])) {
                continue
            }
            if ($columns.Length -eq 0) {
                $columns = [string[]] $part.columns
            }
            if ($null -eq $places) {
                $places = @(foreach ($name in $columns) { , (Find-Column $part.columns $name) })
            }
            $row = Split-Line $part.lines[$number]
            $cells = [string[]] @(foreach ($place in $places) { Hide-Secret (Get-Cell $row $place) })
            $characters += $part.lines[$number].Length
            if ($rows.Count -ge $mostRows -or $characters -gt $mostCharacters) {
                return @{ columns = $columns; rows = $rows.ToArray(); truncated = $true }
            }
            $rows.Add($cells)
        }
    }
    if ($columns.Length -eq 0 -and $Parts.Count -gt 0) {
        $columns = [string[]] $Parts[$Parts.Count - 1].columns
    }
    return @{ columns = $columns; rows = $rows.ToArray(); truncated = $false }
}

Complete-Call 'protocol_log' {
    $folder = Get-FolderArgument
    $since = (Get-MomentArgument 'since').UtcDateTime
    $until = (Get-MomentArgument 'until').UtcDateTime
    if ($since -gt $until -or ($until - $since).TotalHours -gt 24) {
        Stop-Call 'broken' "The arguments 'since' and 'until' are not a span of at most a day."
    }
    $users = Join-Patterns ([string[]] @(Get-UsersArgument))
    $parts = New-Object 'System.Collections.Generic.List[object]'
    $sessions = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($file in @(Find-Files $folder $until)) {
        $part = Read-Span $file.FullName $since $until
        $part.series = Get-Series $file.Name
        Add-Sessions $part $users $sessions
        # The oldest first.
        $parts.Insert(0, $part)
    }
    $answer = Select-Rows $parts (Select-Own $parts $users $sessions)
    $answer['files'] = $parts.Count
    return $answer
}
