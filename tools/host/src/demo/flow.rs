//! The demo from its first file to its last check.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use barkeeper::{SealOptions, Store};
use barkeeper_records::CalendarKind;
use barkeeper_sources::ImportOptions;
use barkeeper_sync::sqlite::SqliteConfig;
use barkeeper_sync::{CheckOptions, Mode, Reached, Verdict};

use super::crash::{Moment, kill_one};
use super::error::DemoError;
use super::market::{Market, MarketSpec};
use super::market_files::{MarketFiles, write_market};
use super::measure::{grouped, nanos, shown};
use super::questions::Questions;
use super::random::Random;
use super::report::{DemoReport, Teller};
use super::writes::Writes;
use crate::config::{Config, TargetConfig, TargetKind, TargetName};
use crate::config_file::ConfigFile;
use crate::import::{ImportReport, ImportSettings, import};
use crate::open::{InitSettings, Opened, create, open, store_options};
use crate::sync::Target;

/// How other processes are told who has the demo's store.
pub(super) const PROGRAM: &str = "barkeeper demo";
/// The demo's replica, as its settings name it.
const REPLICA: &str = "replica";

/// What the demo is told.
pub struct DemoOptions<'a> {
    /// An empty folder for everything.
    pub folder: PathBuf,
    /// How much market.
    pub spec: MarketSpec,
    /// Calls that are timed of each kind, at least 1,000 for numbers that mean something.
    pub calls: usize,
    /// How often a writer is killed.
    pub kills: usize,
    /// Starts a program that calls [`write_until_killed`](super::write_until_killed) on a store.
    pub writer: &'a dyn Fn(&Path) -> Command,
}

/// Runs the demo and tells about it on `out`.
///
/// # Errors
/// Whatever keeps it from going on. What does not hold is in the report's checks.
pub fn run(options: &DemoOptions<'_>, out: &mut dyn Write) -> Result<DemoReport, DemoError> {
    let begun = Instant::now();
    let mut teller = Teller::new(out);
    let market = Market::new(options.spec);
    let MarketSpec { instruments, days, seed, .. } = options.spec;
    teller.report.instruments = instruments;
    teller.report.days = days;
    teller.report.seed = seed;

    teller.head(&format!("A market of {instruments} instruments and {days} trading days, seed {seed}"))?;
    let start = Instant::now();
    let files = write_market(&market, &options.folder.join("files"))?;
    teller.report.files = files.files;
    teller.report.file_bytes = files.bytes;
    let megabytes = files.bytes as f64 / 1e6;
    let text = format!("{} files as TDX, SilverQuant and Binance leave them, {megabytes:.1} MB", files.files);
    teller.timed(&text, nanos(start.elapsed()))?;

    let store = options.folder.join("store");
    let settings = InitSettings {
        calendar: CalendarKind::CnA,
        open_days: Some(files.open_days.to_string_lossy().into_owned()),
        account: files.accounts.first().map(|files| files.account.clone()),
        allow_shared_folder: false,
    };
    let opened = create(&store, &settings, PROGRAM)?;
    import_all(&opened.store, &files, &mut teller)?;
    let accounts = files.accounts.as_slice();
    let calls = options.calls;
    Writes { store: &opened.store, market: &market, accounts, folder: &options.folder, calls }
        .write(&mut teller)?;
    drop(opened);
    // Opened anew, so that nothing is answered from what the import left in memory.
    let start = Instant::now();
    let opened = open(&store, PROGRAM)?;
    let reopened = nanos(start.elapsed());
    Questions { store: &opened.store, market: &market, accounts, calls }.ask(&mut teller)?;

    replicate(opened, &options.folder, &mut teller)?;
    kill(options, &store, reopened, &mut teller)?;
    teller.report.seconds = begun.elapsed().as_secs_f64();
    finish(&mut teller)?;
    Ok(teller.report)
}

fn import_all(store: &Store, files: &MarketFiles, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.head("Import")?;
    let start = Instant::now();
    let reports = import_once(store, files)?;
    let took = start.elapsed();
    let bars: u64 = reports.iter().map(|report| report.bars.inserted).sum();
    let trades: u64 = reports.iter().map(|report| report.trades.recorded).sum();
    let positions: u64 = reports.iter().map(|report| report.positions.set).sum();
    teller.report.imported = bars + trades + positions;
    teller.report.import_seconds = took.as_secs_f64();
    let text = format!("{} bars, {} trades, {positions} positions", grouped(bars), grouped(trades));
    teller.timed(&text, nanos(took))?;
    let start = Instant::now();
    let read = read_all(&files.prices)?;
    teller.report.read_seconds = start.elapsed().as_secs_f64();
    teller.timed(
        &format!("floor: reading the same {} bytes and no more", grouped(read)),
        nanos(start.elapsed()),
    )?;

    let clean = reports.iter().all(ImportReport::is_clean);
    let expected = files.daily + files.adjusted + files.hourly;
    let found = format!("{} of {}", grouped(bars), grouped(expected));
    teller.check("every bar of every file is in", clean && bars == expected, &found)?;
    let lsn = store.snapshot()?.lsn();
    let start = Instant::now();
    let again = import_once(store, files)?;
    let unchanged: u64 = again.iter().map(|report| report.bars.unchanged).sum();
    let after = store.snapshot()?.lsn();
    let found = format!(
        "{} bars known, LSN {lsn} before and {after} after, {}",
        grouped(unchanged),
        shown(nanos(start.elapsed()))
    );
    teller.check("importing again changes nothing", lsn == after && unchanged == expected, &found)?;
    Ok(())
}

fn import_once(store: &Store, files: &MarketFiles) -> Result<Vec<ImportReport>, DemoError> {
    let mut reports =
        vec![import(store, std::slice::from_ref(&files.prices), &ImportSettings::default(), &mut |_| {})?];
    for account in &files.accounts {
        let options = ImportOptions {
            account: Some(account.account.clone()),
            trust_lowest: true,
            ..ImportOptions::default()
        };
        let settings = ImportSettings { options, ..ImportSettings::default() };
        reports.push(import(store, std::slice::from_ref(&account.folder), &settings, &mut |_| {})?);
    }
    Ok(reports)
}

/// Reads every file below a folder; answers how many bytes there were.
fn read_all(folder: &Path) -> Result<u64, DemoError> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            read_all(&entry.path())?
        } else {
            std::hint::black_box(fs::read(entry.path())?).len() as u64
        };
    }
    Ok(bytes)
}

fn replicate(opened: Opened, folder: &Path, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.head("A replica in SQLite, and the proof that it agrees")?;
    let store = opened.store.folder().to_owned();
    drop(opened);
    let name = replica()?;
    let mut file = ConfigFile::open(&store)?;
    let config = SqliteConfig::of(folder.join("replica.sqlite"));
    file.add_target(&name, &TargetConfig { kind: TargetKind::Sqlite(config), mode: Mode::Replicate })?;
    file.save()?;

    let opened = open(&store, PROGRAM)?;
    let mut target = Target::new(&opened, &name)?;
    let start = Instant::now();
    let mut rows = 0;
    let reached = target.run(&AtomicBool::new(false), &mut |at| rows = at.rows)?;
    let took = start.elapsed();
    teller.report.sent = rows;
    teller.report.sync_seconds = took.as_secs_f64();
    let speed = grouped(per_second(rows, took));
    teller.timed(&format!("{} rows sent, {speed} a second", grouped(rows)), nanos(took))?;
    teller.check("the replica is current", reached == Reached::Current, &format!("{reached:?}"))?;
    compare(&mut target, "every row of the replica, read and hashed, agrees", teller)?;

    let start = Instant::now();
    let sealed = opened.store.seal(&SealOptions::default(), &mut |_, _| {})?;
    teller.timed(
        &format!("{} hot bars sealed into {} Parquet files", grouped(sealed.rows), sealed.segments),
        nanos(start.elapsed()),
    )?;
    compare(&mut target, "sealing changed nothing that a replica could see", teller)?;
    target.close()?;
    Ok(())
}

fn replica() -> Result<TargetName, DemoError> {
    REPLICA
        .parse()
        .map_err(|error: crate::config::TargetNameError| DemoError::Writer { detail: error.to_string() })
}

fn per_second(rows: u64, took: Duration) -> u64 {
    u64::try_from(u128::from(rows) * 1_000_000_000 / took.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn compare(target: &mut Target, what: &str, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    let start = Instant::now();
    let report = target.check(&CheckOptions::default(), &AtomicBool::new(false))?;
    let took = shown(nanos(start.elapsed()));
    let (here, there) = (grouped(report.rows_here), grouped(report.rows_there));
    let found = if report.verdict == Verdict::Agree {
        format!("{here} rows in {} buckets, {took}", report.agreeing)
    } else {
        format!("{here} rows here, {there} there, {} buckets differ, {took}", report.differing.len())
    };
    teller.check(what, report.verdict == Verdict::Agree && report.rows_here > 0, &found)?;
    Ok(())
}

fn kill(
    options: &DemoOptions<'_>,
    store: &Path,
    reopened: u64,
    teller: &mut Teller<'_>,
) -> Result<(), DemoError> {
    teller.head("A writer process, killed in the middle of its commits")?;
    teller.timed("opening after a clean end", reopened)?;
    let mut random = Random::new(options.spec.seed, 4_000_000);
    for round in 1..=options.kills {
        let pause = Duration::from_micros(random.below(8_000) as u64);
        let moment = Moment { acknowledged: 20 + random.below(300), pause };
        let found = kill_one((options.writer)(store), store, moment)?;
        teller.report.acknowledged += found.acknowledged;
        let text = format!(
            "{} acknowledged; {} there, {} must be; opened in {}",
            found.acknowledged,
            found.there,
            found.expected,
            shown(found.open_ns)
        );
        teller.check(&format!("kill {round}: nothing acknowledged is lost"), found.is_right(), &text)?;
    }
    let start = Instant::now();
    let config = Config::load(store)?;
    let report = Store::verify(store, store_options(&config, PROGRAM), &mut |_, _| {})?;
    let found = format!(
        "{} values, {} files, {} bars, {} findings, {}",
        grouped(report.values),
        report.segments,
        grouped(report.bars),
        report.findings.len(),
        shown(nanos(start.elapsed()))
    );
    teller.check("verify reads everything and finds nothing", report.findings.is_empty(), &found)?;
    for finding in report.findings.iter().take(5) {
        teller.line(&format!("        {}: {}", finding.place, finding.detail))?;
    }
    let opened = open(store, PROGRAM)?;
    let mut target = Target::new(&opened, &replica()?)?;
    compare(&mut target, "the replica follows and agrees again", teller)?;
    target.close()?;
    Ok(())
}

fn finish(teller: &mut Teller<'_>) -> Result<(), DemoError> {
    let (checks, seconds) = (teller.report.checks.len(), teller.report.seconds);
    let failed = teller.report.checks.iter().filter(|check| !check.held).count();
    let verdict = if failed == 0 {
        format!("All {checks} checks held")
    } else {
        format!("{failed} of {checks} checks FAILED")
    };
    teller.head(&format!("{verdict}, in {seconds:.1} s."))?;
    Ok(())
}
