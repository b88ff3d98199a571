# Whether a process that was started for a step still runs on this server, by the marker in its command line, and
# whether one came so far as to act, by the mark on the disk.

# The command line of a process. One that is just ending has none any more: so it is looked at again.
function Read-CommandLine {
    param($Process)
    $line = [string] $Process.CommandLine
    for ($look = 0; $line -eq '' -and $look -lt 3; $look++) {
        if ($look -gt 0) {
            [System.Threading.Thread]::Sleep(1000)
        }
        $number = [int] $Process.ProcessId
        $again = @(Read-Windows 'Win32_Process' | Where-Object -Property 'ProcessId' -EQ -Value $number)
        if ($again.Length -eq 0) {
            return 'ended'
        }
        $line = [string] $again[0].CommandLine
    }
    if ($line -eq '') {
        Stop-Call 'denied' 'The command line of a powershell.exe cannot be read; nobody can say what it runs.'
    }
    return $line
}

Complete-Call 'step_running' {
    $step = [string] (Get-Argument 'step')
    if ($step -cnotmatch '\A[0-9a-z][0-9a-z.-]{0,63}\z') {
        Stop-Call 'broken' "The argument 'step' is not the id of a step."
    }
    # One id may begin with another, so the marker ends where an id can go no further.
    $marker = 'exmedic-' + [regex]::Escape($step) + '(?![0-9a-z.-])'
    # Before the look: a process that begins after it is not seen, and must begin after this moment too.
    $lookedAt = Format-Moment ([datetime]::UtcNow)
    $running = $false
    foreach ($process in @(Read-Windows 'Win32_Process')) {
        if ([int] $process.ProcessId -eq $PID) {
            continue
        }
        $line = [string] $process.CommandLine
        if ($line -eq '' -and $process.Name -eq 'powershell.exe') {
            $line = Read-CommandLine $process
        }
        if ($line -cmatch $marker) {
            $running = $true
        }
    }
    # Last: a process that was still running above has left its mark by now, or will be seen at the next look.
    $began = [System.IO.File]::Exists((Get-MarkPath $step))
    return @{ running = $running; looked_at = $lookedAt; began = $began }
}
