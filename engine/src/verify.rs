//! Verify: every byte is read, every checksum and digest computed anew, every part held against the others.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use barkeeper_records::{Bucket, Digest, Lsn, MarketTrade, Table, Tick, Timestamp};
use barkeeper_storage::{
    BarHasher, BarV1, BookV1, ChunkKind, ChunkView, Dataset, DigestV1, EventChunk, EventStatsV1,
    EventTombstoneV1, ExternalIdV1, FactorV1, HeadV1, IdentityV1, ImportV1, LogV1, MergeV1, NumberOfV1,
    NumberV1, PositionV1, RequestOrderV1, RequestV1, RetiredV1, RevisionV1, Segment, SegmentEntry,
    SegmentIndexV1, SegmentV1, StatsPageV1, StoredRow, StrategySnapshotV1, TombstoneV1, TradeIdV1,
    TradeOfInstrumentV1, TradeV1, TradeVoidV1, hash_file, keys, rowview,
};

use crate::backup::damage_of_note;
use crate::error::{MaintenanceError, OpenError, ReadError, ReadResult, missing};
use crate::folder;
use crate::hot::{Hot, damaged_structure};
use crate::ops_factors::factor_hash;
use crate::ops_positions::{account_bucket, book_hash, position_hash, read_positions};
use crate::ops_snapshots::state_hash;
use crate::ops_trades::{trade_bucket, trade_hash};
use crate::options::StoreOptions;
use crate::report::{Finding, TradeQuery, VerifyReport};
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::{HEAD, IDENTITY, Tab};
use crate::view::View;

type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Store {
    /// Reads everything in a store that nobody has open: the database's own structure, every checksum,
    /// every segment, the manifest against the folder, both axes against each other, and all digests
    /// and statistics computed anew. Damage is a finding and no error. `progress` hears of steps done
    /// and steps in all.
    ///
    /// # Errors
    /// `Open` where the store cannot be opened for another reason than damage; `Io`.
    pub fn verify(
        dir: &Path,
        options: StoreOptions,
        progress: Progress<'_>,
    ) -> Result<VerifyReport, MaintenanceError> {
        let mut report = VerifyReport::default();
        let mut pages = 0;
        progress(0, 1);
        let file = folder::database(dir)?;
        let opened = Hot::open_in(dir, &options).and_then(|hot| {
            pages = check_database(&hot, &mut report);
            // redb may panic on a damaged file; that is a finding like any other.
            let begun = catch_unwind(AssertUnwindSafe(|| Self::begin(hot, dir, options)));
            begun.unwrap_or_else(|_| Err(damaged_structure(&file)))
        });
        let store = match opened {
            Ok(store) => store,
            Err(OpenError::Damaged { path, detail }) => {
                report.damage(&path.display().to_string(), detail);
                return Ok(report);
            }
            Err(OpenError::Segment(error)) => {
                report.damage("segments", error.to_string());
                return Ok(report);
            }
            Err(other) => return Err(other.into()),
        };
        if let Some((file, detail)) = damage_of_note(dir) {
            report.damage(file, detail);
        }
        let read = Snapshot::take(store.inner())
            .map(|snapshot| catch_unwind(AssertUnwindSafe(|| snapshot.scrub(&mut report, pages, progress))));
        match read {
            Ok(Ok(Ok(()))) if report.findings.len() == pages => report.spare_pages = pages as u64,
            Ok(Ok(Ok(()))) => {}
            Err(error) | Ok(Ok(Err(error))) if error.is_damage() => report.damage("store", error.to_string()),
            Err(error) | Ok(Ok(Err(error))) => return Err(error.into()),
            Ok(Err(_)) => report.damage("store.redb", "a table is damaged"),
        }
        Ok(report)
    }
}

impl VerifyReport {
    fn damage(&mut self, place: &str, detail: impl Into<String>) {
        self.findings.push(Finding { place: place.to_owned(), detail: detail.into(), damage: true });
    }

    fn misfit(&mut self, place: &str, detail: impl Into<String>) {
        self.findings.push(Finding { place: place.to_owned(), detail: detail.into(), damage: false });
    }
}

/// Compares all pages with their sums, or where these say nothing with redb's hash tree. Damage of pages is not
/// shown to redb's check, which would leave the database so that nothing in it can be read any more. Answers how
/// many pages are damaged.
fn check_database(hot: &Hot, report: &mut VerifyReport) -> usize {
    match hot.compare_all() {
        Ok(damaged) if damaged.is_empty() => {}
        Ok(damaged) => {
            for place in &damaged {
                report.damage("store.redb", format!("the page at byte {place} does not fit its sum"));
            }
            return damaged.len();
        }
        Err(error) => {
            report.damage("store.redb", error.to_string());
            return 0;
        }
    }
    if hot.was_checked() {
        return 0;
    }
    match catch_unwind(AssertUnwindSafe(|| hot.check())) {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            report.misfit("store.redb", "the database's own check found damage and mended its structure");
        }
        Ok(Err(error)) => report.damage("store.redb", error.to_string()),
        Err(_) => report.damage("store.redb", "the database's structure is damaged"),
    }
    0
}

/// Decodes the values of a table, so that every checksum is computed.
pub(crate) fn check_row(tab: Tab, key: &[u8], value: &[u8]) -> ReadResult<()> {
    fn is<T: StoredRow>(key: &[u8], value: &[u8]) -> ReadResult<T> {
        Ok(T::from_bytes(key, value)?)
    }
    let bad = |what| move || missing(what);
    match tab {
        Tab::Meta if key == IDENTITY => is::<IdentityV1>(key, value).map(drop),
        Tab::Meta if key == HEAD => is::<HeadV1>(key, value).map(drop),
        Tab::Meta | Tab::Targets => is::<NumberOfV1>(key, value).map(drop),
        Tab::Positions => {
            let owner = keys::read_position(key).ok_or_else(bad("position key"))?;
            is::<PositionV1>(key, value)?.read(owner)?;
            Ok(())
        }
        Tab::EventSlabs | Tab::EventBlocks => check_events(tab, key, value),
        Tab::EventTombstones => {
            keys::read_event(key).ok_or_else(bad("tombstone key"))?;
            is::<EventTombstoneV1>(key, value)?.read()?;
            Ok(())
        }
        Tab::EventStats => {
            keys::read_event_stats(key).ok_or_else(bad("statistics key"))?;
            is::<EventStatsV1>(key, value).map(drop)
        }
        Tab::Factors => {
            let place = keys::read_factor(key).ok_or_else(bad("factor key"))?;
            is::<FactorV1>(key, value)?.read(place)?;
            Ok(())
        }
        Tab::Books => is::<BookV1>(key, value)?.read().map(drop).map_err(Into::into),
        Tab::Trades => {
            let owner = keys::read_trade(key).ok_or_else(bad("trade key"))?;
            is::<TradeV1>(key, value)?.read(owner)?;
            Ok(())
        }
        Tab::TradeIds => is::<TradeIdV1>(key, value).map(drop),
        Tab::TradesByInstrument => is::<TradeOfInstrumentV1>(key, value).map(drop),
        Tab::TradesByExternalId => is::<ExternalIdV1>(key, value).map(drop),
        Tab::TradeVoids => is::<TradeVoidV1>(key, value).map(drop),
        Tab::RequestOrder => is::<RequestOrderV1>(key, value).map(drop),
        Tab::Slabs => {
            let (_, _, ts, _) = keys::read_chunk(key).ok_or_else(bad("chunk key"))?;
            ChunkView::read(key, ts, value)?.rows().try_for_each(|row| row.map(drop))?;
            Ok(())
        }
        Tab::Delta => {
            let (_, ts) = keys::read_bar(key).ok_or_else(bad("bar key"))?;
            is::<BarV1>(key, value)?.read(ts)?;
            Ok(())
        }
        Tab::Revisions => {
            let (_, ts) = keys::read_bar(key).ok_or_else(bad("revision key"))?;
            is::<RevisionV1>(key, value)?.read(ts)?;
            Ok(())
        }
        Tab::Tombstones => {
            let (series, lsn) = keys::read_tombstone(key).ok_or_else(bad("tombstone key"))?;
            is::<TombstoneV1>(key, value)?.read(series, lsn)?;
            Ok(())
        }
        Tab::Stats => is::<StatsPageV1>(key, value).map(drop),
        Tab::Instruments => is::<NumberV1>(key, value).map(drop),
        Tab::Segments => {
            is::<SegmentV1>(key, value)?.read(crate::manifest::id_of(key)?).map(drop).map_err(Into::into)
        }
        Tab::Retired => {
            is::<RetiredV1>(key, value)?.read(crate::manifest::id_of(key)?).map(drop).map_err(Into::into)
        }
        Tab::Merges => is::<MergeV1>(key, value).map(drop),
        Tab::SegmentIndexes => is::<SegmentIndexV1>(key, value).map(drop),
        Tab::Log => is::<LogV1>(key, value).map(drop),
        Tab::Digests => is::<DigestV1>(key, value).map(drop),
        Tab::Requests => is::<RequestV1>(key, value).map(drop),
        Tab::StrategySnapshots => {
            let of = keys::read_strategy_snapshot(key).ok_or_else(bad("key of a state"))?;
            is::<StrategySnapshotV1>(key, value)?.read(of).map(drop).map_err(Into::into)
        }
        Tab::Imports => is::<ImportV1>(key, value).map(drop),
    }
}

fn check_events(tab: Tab, key: &[u8], value: &[u8]) -> ReadResult<()> {
    let bad = || missing("key of ticks or market trades");
    let (table, kind) = if tab == Tab::EventSlabs {
        (keys::read_event_slab(key).ok_or_else(bad)?.table, ChunkKind::Slab)
    } else {
        (keys::read_event(key).ok_or_else(bad)?.0, ChunkKind::Block)
    };
    match table {
        Table::Ticks => EventChunk::read::<Tick>(kind, key, value)?.each::<Tick>(|_, _| {})?,
        Table::MarketTrades => {
            EventChunk::read::<MarketTrade>(kind, key, value)?.each::<MarketTrade>(|_, _| {})?;
        }
        _ => return Err(bad()),
    }
    Ok(())
}

impl Snapshot {
    /// Reads all that a reader can meet; `known` findings say nothing of that.
    fn scrub(&self, report: &mut VerifyReport, known: usize, progress: Progress<'_>) -> ReadResult<()> {
        report.lsn = self.lsn();
        for tab in Tab::ALL {
            self.scrub_table(*tab, report)?;
        }
        // One part that cannot be read says nothing of the others.
        let part = |report: &mut VerifyReport, place: &str, read: ReadResult<()>| match read {
            Err(error) if is_finding(&error) => {
                report.damage(place, error.to_string());
                Ok(())
            }
            other => other,
        };
        let read = self.scrub_log(report);
        part(report, "change log", read)?;
        let read = self.scrub_segments(report, progress);
        part(report, "segments", read)?;
        let whole = report.findings.len() == known;
        let mut digests = BTreeMap::new();
        let read = self.count_bars(report, &mut digests);
        part(report, "bars", read)?;
        let read = self.count_ledger(report, &mut digests);
        part(report, "trades and positions", read)?;
        if whole {
            self.compare_digests(digests, report)?;
        }
        for (place, detail) in self.strays()? {
            report.misfit(&place, detail);
        }
        Ok(())
    }

    fn scrub_table(&self, tab: Tab, report: &mut VerifyReport) -> ReadResult<()> {
        let mut bad = Vec::new();
        let scanned = self.view().scan_prefix(tab, &[], &mut |key, value| {
            report.values += 1;
            if let Err(error) = check_row(tab, key, value) {
                bad.push(error.to_string());
            }
            Ok(ControlFlow::Continue(()))
        });
        let place = format!("store.redb, table {}", tab.name());
        for detail in bad {
            report.damage(&place, detail);
        }
        match scanned {
            Err(ReadError::Damaged { detail }) => report.damage(&place, detail),
            other => other?,
        }
        Ok(())
    }

    fn scrub_log(&self, report: &mut VerifyReport) -> ReadResult<()> {
        let head = read_head(self.view())?;
        let mut last = Lsn(head.tail.saturating_sub(1));
        let mut chain = head.tail_chain;
        let mut gaps = Vec::new();
        self.view().scan_prefix(Tab::Log, &[], &mut |key, value| {
            let (lsn, ordinal) = keys::read_log(key).ok_or_else(|| missing("log key"))?;
            let record = LogV1::from_bytes(key, value)?;
            let expected = if ordinal == 0 { last.0 + 1 } else { last.0 };
            if lsn.0 != expected {
                gaps.push(format!("LSN {lsn} stands where {expected} must be"));
            } else if !record.follows(lsn, chain) {
                gaps.push(format!("the hash chain breaks at LSN {lsn}"));
            }
            last = lsn;
            chain = record.chain();
            Ok(ControlFlow::Continue(()))
        })?;
        if last.0 != head.lsn || chain != head.chain {
            gaps.push(format!("the log ends at LSN {last}, the head is {}", head.lsn));
        }
        for gap in gaps {
            report.misfit("change log", gap);
        }
        Ok(())
    }

    fn scrub_segments(&self, report: &mut VerifyReport, progress: Progress<'_>) -> ReadResult<()> {
        let cache = &self.inner().segments;
        let manifest = cache.manifest(self.view())?;
        let steps = manifest.entries.len() as u64 + 1;
        let mut digests = HashMap::new();
        for (done, entry) in manifest.entries.iter().enumerate() {
            progress(done as u64, steps);
            let path = cache.root().join(entry.path());
            let place = entry.path();
            match hash_file(&path) {
                Ok(hash) if hash == entry.blake3 => {}
                Ok(_) => {
                    report.damage(&place, "the BLAKE3 of the file is not the published one");
                    continue;
                }
                Err(error) => {
                    report.damage(&place, error.to_string());
                    continue;
                }
            }
            match self.digest_of_entry(entry) {
                Ok(digest) if digest == entry.digest => {}
                Ok(_) => report.misfit(&place, "the rows' digest is not the published one"),
                Err(error) => report.damage(&place, error.to_string()),
            }
            report.segments += 1;
            report.segment_bytes += entry.bytes;
            digests.insert(entry.id, entry.digest);
        }
        for entry in &manifest.entries {
            let Some(twin) = entry.twin else { continue };
            let pair = (digests.get(&entry.id), digests.get(&twin));
            let gone = !manifest.entries.iter().any(|other| other.id == twin);
            // What cannot be read was told of above; its twin is none the worse for it.
            if gone || matches!(pair, (Some(own), Some(other)) if own != other) {
                report.misfit(&entry.path(), "the segment on the other axis holds other rows");
            }
        }
        progress(steps - 1, steps);
        Ok(())
    }

    fn digest_of_entry(&self, entry: &SegmentEntry) -> ReadResult<Digest> {
        match entry.dataset {
            Dataset::Ticks => self.digest_of_events::<Tick>(entry),
            Dataset::MarketTrades => self.digest_of_events::<MarketTrade>(entry),
            _ => digest_of(&*self.inner().segments.segment(self.view(), entry)?),
        }
    }

    /// Adds the digests of the live bars, and checks what can be counted on the way.
    fn count_bars(
        &self,
        report: &mut VerifyReport,
        digests: &mut BTreeMap<Bucket, Digest>,
    ) -> ReadResult<()> {
        let (mut lost, mut unread) = (None, 0_u64);
        for stat in self.all_series(None, None)? {
            let bars = match self.merged().range(&stat.series, Timestamp::MIN, Timestamp::MAX) {
                Ok(bars) => bars,
                Err(error) if is_finding(&error) => {
                    lost.get_or_insert((stat.series, error));
                    unread += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut hasher = BarHasher::new(&stat.series);
            for row in &bars {
                let bucket = rowview::bar_bucket(&stat.series, row.bar.ts);
                digests.entry(bucket).or_default().add(hasher.hash(&row.bar));
            }
            let span = bars.first().map(|b| b.bar.ts).zip(bars.last().map(|b| b.bar.ts));
            if bars.len() as u64 != stat.count || span != Some((stat.first, stat.last)) {
                let detail = format!(
                    "{} bars are stored, {} are counted, or the span differs",
                    bars.len(),
                    stat.count
                );
                report.misfit(&stat.series.to_string(), detail);
            }
            report.bars += bars.len() as u64;
        }
        if let Some((series, error)) = lost {
            report.damage(&series.to_string(), format!("{unread} series cannot be read whole: {error}"));
        }
        Ok(())
    }

    /// The same for positions, books and the trade log.
    fn count_ledger(
        &self,
        report: &mut VerifyReport,
        digests: &mut BTreeMap<Bucket, Digest>,
    ) -> ReadResult<()> {
        for (key, row) in read_positions(self.view(), &[])? {
            if let Some(position) = &row.position {
                report.positions += 1;
                digests
                    .entry(account_bucket(Table::Positions, &key.account))
                    .or_default()
                    .add(position_hash(position));
            }
        }
        for (account, book, day) in self.books()? {
            let bucket = account_bucket(Table::Books, &account);
            digests.entry(bucket).or_default().add(book_hash(&account, &book, day));
        }
        let mut misfits = Vec::new();
        let mut misfit = |place: String, detail: String, damage: bool| misfits.push((place, detail, damage));
        report.ticks = self.recompute_events::<Tick>(digests, &mut misfit)?;
        report.market_trades = self.recompute_events::<MarketTrade>(digests, &mut misfit)?;
        for (place, detail, damage) in misfits {
            if damage {
                report.damage(&place, detail);
            } else {
                report.misfit(&place, detail);
            }
        }
        for event in self.all_factor_events()? {
            report.factors += 1;
            digests.entry(rowview::factor_bucket(&event.instrument)).or_default().add(factor_hash(&event));
        }
        for trade in self.trades(&TradeQuery { with_void: true, ..TradeQuery::default() })? {
            report.trades += 1;
            digests.entry(trade_bucket(&trade)).or_default().add(trade_hash(&trade));
            let index =
                keys::trade_by_instrument(&trade.account, &trade.instrument, trade.ts, trade.trade_id);
            let indexed = self.view().with(Tab::TradesByInstrument, &index, |value| value.is_some())?;
            if !indexed || self.trade(trade.trade_id)?.as_ref() != Some(&trade) {
                report.misfit("trade log", format!("the indexes do not lead to trade {}", trade.trade_id));
            }
        }
        for strategy in self.strategies_with_snapshots()? {
            for state in self.strategy_snapshots(&strategy, None, None, usize::MAX)? {
                let bucket = rowview::strategy_snapshot_bucket(&state.key);
                digests.entry(bucket).or_default().add(state_hash(&state));
            }
        }
        Ok(())
    }

    fn compare_digests(
        &self,
        mut live: BTreeMap<Bucket, Digest>,
        report: &mut VerifyReport,
    ) -> ReadResult<()> {
        let mut wrong = Vec::new();
        self.view().scan_prefix(Tab::Digests, &[], &mut |key, value| {
            let bucket = keys::read_bucket(key).ok_or_else(|| missing("bucket key"))?;
            let (digest, _) = DigestV1::from_bytes(key, value)?.read();
            report.buckets += 1;
            if live.remove(&bucket).unwrap_or_default() != digest {
                wrong.push(bucket.to_string());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        wrong.extend(live.keys().map(ToString::to_string));
        for bucket in wrong {
            report.misfit(&bucket, "the kept digest is not that of the rows");
        }
        Ok(())
    }
}

/// Whether an error is something to report: damage, or a published file that is missing.
pub(crate) fn is_finding(error: &ReadError) -> bool {
    error.is_damage() || matches!(error, ReadError::Segment(_))
}

/// The digest of all rows of a segment.
fn digest_of(segment: &Segment) -> ReadResult<Digest> {
    let entry = segment.entry();
    let mut digest = Digest::default();
    let mut last: Option<(barkeeper_records::InstrumentId, BarHasher)> = None;
    for run in segment.index().runs() {
        for (instrument, row) in segment.read_rows(run.start..run.start + u64::from(run.rows))? {
            let known = last.as_ref().is_some_and(|(name, _)| *name == instrument);
            if !known {
                let Dataset::Bars { interval, adjustment } = entry.dataset else { continue };
                let series = barkeeper_records::SeriesKey { interval, adjustment, instrument };
                last = Some((instrument, BarHasher::new(&series)));
            }
            if let Some((_, hasher)) = &mut last {
                digest.add(hasher.hash(&row.bar));
            }
        }
    }
    Ok(digest)
}
