//! Stores that stay in the repository, to be opened by every later version: `fixtures/format-<n>.zip` holds a store and
//! its backups, `fixtures/format-<n>.txt` what must be in it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "only tests and the tool that writes the fixtures use it"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use barkeeper::{MergeOptions, Store};
use barkeeper_records::{
    AdjustmentTag, Batch, FactorEvent, InstrumentId, Interval, MarketTrade, OnConflict, Operation, SeriesKey,
    Tick, Timestamp, TradingDay,
};
use barkeeper_storage::STORE_FORMAT;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::backups::Place;
use crate::digests::{self, Digests};
use crate::folder::{START, files_below};
use crate::market::Market;

/// How the newest fixture is written anew.
pub const COMMAND: &str = "cargo run -p barkeeper-tests --example fixture";

/// Where the fixtures are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The fixture of a store format, without its ending.
pub fn path(format: u32) -> PathBuf {
    folder().join(format!("format-{format}"))
}

/// Writes the fixture of today's format; answers the bytes of its archive.
pub fn write() -> u64 {
    let mut place = Place::new(11);
    place.go_on(20);
    streams(&mut place, 0);
    place.seal();
    place.store().merge(&MergeOptions { interval: None, whole: true }, &mut |_, _| {}).unwrap();
    // Behind what is sealed and merged: removals, corrections, and what is hot.
    let (instrument, from, to) = (name(0), minute(0), minute(1));
    place.commit(Batch::of(Operation::DeleteTicks { instrument, from, to }));
    place.commit(Batch::of(Operation::DeleteMarketTrades { instrument, from, to }));
    streams(&mut place, 5);
    let (interval, adjustment) = (Interval::DAY, AdjustmentTag::Raw);
    let bar = |instrument| {
        (instrument, Market::bar(&SeriesKey::daily(instrument), Market::moment(interval, 60, 0), 0))
    };
    let bars = (0..MANY).map(name).map(bar).collect();
    let on_conflict = OnConflict::Replace;
    place.commit(Batch::of(Operation::PutCrossSection { interval, adjustment, bars, on_conflict }));
    let (ex_day, cash) = (Market::day(9), 0.5);
    let dividend = FactorEvent {
        instrument: name(0),
        ex_day,
        cash,
        bonus: 0.0,
        rights: 0.0,
        rights_price: 0.0,
        factor: None,
    };
    place.commit(Batch::of(Operation::SetFactor(dividend)));
    place.go_on(8);
    place.back_up();
    let path = path(STORE_FORMAT);
    fs::create_dir_all(folder()).unwrap();
    fs::write(path.with_extension("txt"), told(place.store())).unwrap();
    place.close();
    // The note of who had it last says nothing of the format, and the reserve holds nothing.
    for file in ["owner.json", "reserve"] {
        drop(fs::remove_file(place.folder().join(file)));
    }
    let archive = path.with_extension("zip");
    pack(place.dir.path(), &archive);
    fs::metadata(archive).unwrap().len()
}

/// Instruments of a minute or a day: enough of them for a slab.
const MANY: usize = 20;

fn name(number: usize) -> InstrumentId {
    Market::new(MANY).instruments[number]
}

fn minute(number: i64) -> Timestamp {
    Timestamp::from_nanos(START.nanos() + number * 60_000_000_000)
}

/// Ticks and market trades of many instruments in one minute.
fn streams(place: &mut Place, number: i64) {
    let trading_day = TradingDay::of_utc(START).unwrap();
    let row = |which: usize| (name(which), minute(number), 10.0 + which as f64);
    let tick = |(instrument, ts, last)| (instrument, Tick { ts, trading_day, last, ..Tick::default() });
    let trade = |(instrument, ts, price)| {
        (instrument, MarketTrade { ts, trading_day, price, quantity: 2.0, ..MarketTrade::default() })
    };
    let on_conflict = OnConflict::Replace;
    let ticks = (0..MANY).map(row).map(tick).collect();
    place.commit(Batch::of(Operation::PutTicks { ticks, on_conflict }));
    let trades = (0..MANY).map(row).map(trade).collect();
    place.commit(Batch::of(Operation::PutMarketTrades { trades, on_conflict }));
    // Many of one instrument stand in blocks of their own.
    let after = |second: i64| Timestamp::from_nanos(minute(number).nanos() + second * 1_000_000_000);
    let ticks = (1..=MANY as i64).map(|second| tick((name(0), after(second), second as f64))).collect();
    place.commit(Batch::of(Operation::PutTicks { ticks, on_conflict }));
}

/// What a store holds: its LSN, and a line a bucket with the digest of its rows as they are shipped.
pub fn told(store: &Store) -> String {
    let feed = store.feed();
    let (kept, shipped) = (digests::kept(&*feed).unwrap(), digests::shipped(&*feed).unwrap());
    let mut text = format!("lsn {}\n", store.snapshot().unwrap().lsn().0);
    for (what, found) in [("kept", kept), ("shipped", shipped)] {
        text.push_str(&lines(what, &found));
    }
    text
}

fn lines(what: &str, found: &Digests) -> String {
    let line = |(bucket, digest): (&barkeeper_records::Bucket, &barkeeper_records::Digest)| {
        let (table, group, period) = (bucket.table.schema().name, &bucket.group, bucket.period);
        format!(
            "{what} {table} {group} {period}: {} rows, {:016x}{:016x}\n",
            digest.count, digest.high, digest.low
        )
    };
    found.iter().map(line).collect()
}

/// Entries of a table.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The tables of a store's database that hold anything, and all that is in them.
pub fn tables(dir: &Path) -> BTreeMap<String, Entries> {
    let database = Database::open(dir.join("store.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    let mut found = BTreeMap::new();
    for table in transaction.list_tables().unwrap() {
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table.name());
        let opened = transaction.open_table(definition).unwrap();
        let entry = |entry: redb::Result<_, _>| -> (Vec<u8>, Vec<u8>) {
            let (key, value): (redb::AccessGuard<'_, &[u8]>, redb::AccessGuard<'_, &[u8]>) = entry.unwrap();
            (key.value().to_vec(), value.value().to_vec())
        };
        let entries: Entries = opened.iter().unwrap().map(entry).collect();
        if !entries.is_empty() {
            found.insert(table.name().to_owned(), entries);
        }
    }
    found
}

fn pack(dir: &Path, archive: &Path) {
    let mut zip = ZipWriter::new(File::create(archive).unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for file in files_below(dir).unwrap() {
        let inside = file.strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
        zip.start_file(inside, options).unwrap();
        zip.write_all(&fs::read(&file).unwrap()).unwrap();
    }
    zip.finish().unwrap();
}

/// Unpacks a fixture into an empty folder: a store in `store`, its backups in `backups`.
pub fn unpack(archive: &Path, into: &Path) {
    let mut zip = ZipArchive::new(File::open(archive).unwrap()).unwrap();
    for place in 0..zip.len() {
        let mut file = zip.by_index(place).unwrap();
        let path = into.join(file.enclosed_name().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
