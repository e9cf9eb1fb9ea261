# One page of trials on a real Windows machine, for what Wine cannot show: a console with a Chinese code
# page, virus scanners, files that are held, killed programs.
#
#   powershell -ExecutionPolicy Bypass -File tools\windows-smoke.ps1 -Program target\release\barkeeper.exe
#
# It works in a new folder below -Place and leaves it there. It ends with 0 when everything that a script
# can judge is right; the two questions at its end are for a person.
param(
    [Parameter(Mandatory = $true)][string]$Program,
    [string]$Place = $env:TEMP
)
$ErrorActionPreference = 'Stop'
$program = (Resolve-Path -LiteralPath $Program).Path
# This file is ASCII, because PowerShell 5 reads it in the code page of the machine: hangqing, "market data".
$chinese = -join [char[]](0x884C, 0x60C5)
$folder = Join-Path $Place "barkeeper-smoke $chinese $(Get-Date -Format yyyyMMddHHmmss)"
[void](New-Item -ItemType Directory -Path $folder)
Set-Location -LiteralPath $folder
$env:BARKEEPER_STORE = Join-Path $folder "store $chinese"
$failed = 0

function Check([string]$what, [bool]$right) {
    if ($right) { Write-Host "ok      $what" } else { Write-Host "FAILED  $what"; $script:failed++ }
}
# What the program says to people goes to stderr, which PowerShell 5 would take for a failure.
function Run([string[]]$words) {
    $before = $ErrorActionPreference; $ErrorActionPreference = 'Continue'
    $script:said = & $program @words 2>&1 | ForEach-Object { "$_" }
    $script:code = $LASTEXITCODE
    $ErrorActionPreference = $before
}
function Hold([string]$path) { [IO.File]::Open($path, 'Open', 'Read', 'None') }

Run @('demo', '--files', 'files');                 Check 'files of a small market' ($code -eq 0)
Run @('init', '--account', $chinese);              Check 'a store in a folder with a Chinese name' ($code -eq 0)
Run @('import', 'files\prices');                   Check 'import' ($code -eq 0)
Run @('seal');                                     Check 'seal' ($code -eq 0)
Run @('verify');                                   Check 'verify' ($code -eq 0)
Run @('publish', 'published');                     Check 'publish' ($code -eq 0)
Run @('sync', 'add', 'replica', '--sqlite', "$chinese.sqlite"); Check 'a replica with a Chinese name' ($code -eq 0)
Run @('sync', 'run', 'replica');                   Check 'replicate' ($code -eq 0)

$held = Hold (Get-ChildItem -LiteralPath $env:BARKEEPER_STORE -Recurse -Filter *.parquet)[0].FullName
$job = Start-Job { param($p, $s) $env:BARKEEPER_STORE = $s; & $p verify 2>&1 | Out-Null; $LASTEXITCODE } `
    -ArgumentList $program, $env:BARKEEPER_STORE
Start-Sleep -Seconds 3; $held.Close()
Check 'a file that is held for three seconds is waited for' ((Receive-Job $job -Wait) -eq 0)

$deep = $folder
while ($deep.Length -lt 400) { $deep = "$deep\a folder with a long name" }
Run @('--store', $deep, 'init');                   Check 'a path of 400 characters: init' ($code -eq 0)
Run @('--store', $deep, 'import', 'files\prices'); Check 'a path of 400 characters: import' ($code -eq 0)
Run @('--store', $deep, 'seal');                   Check 'a path of 400 characters: seal' ($code -eq 0)

Run @('--store', 'killed', 'init');                Check 'a store to be killed' ($code -eq 0)
foreach ($n in 1..10) {
    $import = Start-Process -FilePath $program -PassThru -WindowStyle Hidden `
        -ArgumentList '--store', 'killed', 'import', 'files\prices'
    Start-Sleep -Milliseconds (20 * $n); if (-not $import.HasExited) { $import.Kill(); $import.WaitForExit() }
    Run @('--store', 'killed', 'seal')
}
Run @('--store', 'killed', 'verify');              Check 'verify behind ten killed imports' ($code -eq 0)
Run @('demo');                                     Check 'the demo, which kills a writer in its commits' ($code -eq 0)

Run @('positions', 'set', '600000.SH', '--quantity', '1000', '--cost', '6.30')
Check 'a position' ($code -eq 0)
cmd /c """$program"" bars day 2023-07-05 --format csv --encoding gbk > day.csv"
Check 'CSV in GBK' ((Get-Content -LiteralPath day.csv -Encoding Default)[0] -like 'instrument,ts,*')

Write-Host "`nNow look, with the code page of this machine ($(chcp)):"
& $program positions list
Write-Host "1. Does the account above read '$chinese'?"
Write-Host "2. Does day.csv open in Excel in columns?  ($folder)"
Write-Host "`n$failed failed. The folder stays: $folder"
exit [Math]::Min($failed, 1)
