//! `Snapshot`: everything that is read through it is of one LSN.

use std::ops::ControlFlow;
use std::sync::Arc;

use barkeeper_records::{
    AccountId, AdjustmentTag, Bar, BookId, ImportRecord, InstrumentId, Interval, Lsn, Position, PositionKey,
    PositionStatus, SeriesKey, Timestamp, TradingDay, Version,
};
use barkeeper_storage::{
    BookV1, ImportV1, RevisionV1, STATS_PER_PAGE, SeriesStat, StatsPageV1, StoredRow, VersionedBar, keys,
};

use crate::error::{ReadResult, missing};
use crate::merge::Bars;
use crate::ops_positions::{read_book, read_position, visit_positions};
use crate::overlay::Extremes;
use crate::readers::Registration;
use crate::report::{Revision, SeriesSummary, SnapshotKind};
use crate::session::{read_head, read_number};
use crate::store::Inner;
use crate::tables::Tab;
use crate::tails::{MOST_BARS, TAIL_BARS};
use crate::view::{ReadView, SingleView, View};

/// A snapshot of a store at one LSN, with the relaxed values that were visible when it was taken.
///
/// It may be shared by threads. The database keeps the pages that it may see, so it is for reads that are
/// short: after 60 s ([`StoreOptions::snapshot_age`](crate::StoreOptions)) it expires, its pages are let
/// go, and every read of it fails with `Expired`. At most 1,024 may be open.
pub struct Snapshot {
    inner: Arc<Inner>,
    view: ReadView,
    relaxed: Arc<Extremes>,
    lsn: Lsn,
    registration: Option<Registration>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// A snapshot for one read of a few keys: not listed, and gone when the read is.
    pub(crate) fn brief(inner: &Arc<Inner>) -> ReadResult<Self> {
        // Relaxed values first: what is folded in between is seen in both places, never in none.
        let relaxed = inner.overlay.now();
        let lease = inner.leases.take();
        let view = ReadView::leased(inner.begin_read()?, lease);
        let lsn = Lsn(read_head(&view)?.lsn);
        Ok(Self { inner: inner.clone(), view, relaxed, lsn, registration: None })
    }

    /// A snapshot of the store's own, which does not expire.
    pub(crate) fn take(inner: &Arc<Inner>) -> ReadResult<Self> {
        let mut taken = Self::brief(inner)?;
        let now = inner.options.clock.steady();
        let listed = inner.readers.register(SnapshotKind::Maintenance, taken.lsn, now, None)?;
        taken.registration = Some(listed);
        Ok(taken)
    }

    /// A snapshot for a caller, which expires.
    pub(crate) fn point(inner: &Arc<Inner>) -> ReadResult<Self> {
        let relaxed = inner.overlay.now();
        let lease = inner.leases.take();
        let (view, slot) = ReadView::shared(inner.begin_read()?, lease);
        let lsn = Lsn(read_head(&view)?.lsn);
        let now = inner.options.clock.steady();
        let listed = inner.readers.register(SnapshotKind::Point, lsn, now, Some(slot))?;
        Ok(Self { inner: inner.clone(), view, relaxed, lsn, registration: Some(listed) })
    }

    pub(crate) const fn view(&self) -> &ReadView {
        &self.view
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn merged(&self) -> Bars<'_, ReadView> {
        Bars { view: &self.view, segments: &self.inner.segments }
    }

    /// The LSN of the last commit that it sees.
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(crate) fn show_relaxed(&self, position: &mut Position, entry: u64) {
        if let Some(extreme) = self.relaxed.get(&position.key) {
            extreme.show(position, entry);
        }
    }

    /// One position as it is now. Whoever asks for nothing else needs no LSN, so the head is not read.
    pub(crate) fn position_now(inner: &Inner, key: &PositionKey) -> ReadResult<Option<Position>> {
        let relaxed = inner.overlay.now();
        let view = SingleView::new(inner.hot.begin_read()?);
        let row = read_position(&view, key)?;
        Ok(row.and_then(|row| Some(shown(&relaxed, row.position?, row.entry))))
    }

    /// One position, open or closed.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn position(&self, key: &PositionKey) -> ReadResult<Option<Position>> {
        let row = read_position(&self.view, key)?;
        Ok(row.and_then(|row| Some(shown(&self.relaxed, row.position?, row.entry))))
    }

    /// The positions of an account, in one book or in all, in the order of book and instrument.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn positions(
        &self,
        account: &AccountId,
        book: Option<&BookId>,
        with_closed: bool,
    ) -> ReadResult<Vec<Position>> {
        let prefix = book.map_or_else(|| keys::account(account), |book| keys::book(account, book));
        self.positions_under(&prefix, with_closed)
    }

    /// The positions of every account, in the order of account, book and instrument.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn all_positions(&self, with_closed: bool) -> ReadResult<Vec<Position>> {
        self.positions_under(&[], with_closed)
    }

    fn positions_under(&self, prefix: &[u8], with_closed: bool) -> ReadResult<Vec<Position>> {
        let mut found = Vec::with_capacity(32);
        visit_positions(&self.view, prefix, |mut position, entry| {
            if with_closed || position.status == PositionStatus::Open {
                self.show_relaxed(&mut position, entry);
                found.push(position);
            }
        })?;
        Ok(found)
    }

    /// The trading day of a book's last increment of held days.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn incremented_on(&self, account: &AccountId, book: &BookId) -> ReadResult<Option<TradingDay>> {
        read_book(&self.view, account, book)
    }

    /// All books whose held days were ever counted, with the trading day of the last increment.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn books(&self) -> ReadResult<Vec<(AccountId, BookId, TradingDay)>> {
        let mut found = Vec::new();
        self.view.scan_prefix(Tab::Books, &[], &mut |key, value| {
            let (account, book) = keys::read_book(key).ok_or_else(|| missing("book key"))?;
            found.push((account, book, BookV1::from_bytes(key, value)?.read()?.0));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The bars of a series from `from` to `to`, both included, ascending.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn bars(&self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> ReadResult<Vec<Bar>> {
        self.view.alive()?;
        let end = self.inner.tails.end_of(series, from, to, self.lsn);
        let begins = end.as_ref().map(|end| end.begins);
        let room = end.as_ref().map_or(0, |end| end.bars.len());
        let read = |to| self.merged().range_as(series, from, to, room, |row| row.bar);
        let (mut bars, hot) = match begins {
            Some(None) => (Vec::new(), 0),
            Some(Some(begins)) => read(Timestamp::from_nanos(begins.nanos().saturating_sub(1)))?,
            None => read(to)?,
        };
        let (mut last, mut held) = (None, 0);
        if let Some(mut end) = end {
            (last, held) = (Some(end.last), end.held);
            bars.append(&mut end.bars);
        }
        // Every hot bar cost a look-up of its own: the next reader finds them in memory.
        if hot > 0 && held < MOST_BARS {
            let summary = self.series(series)?;
            let whole = summary.is_some_and(|summary| from <= summary.first);
            if last.unwrap_or_else(|| summary.is_some_and(|summary| summary.last <= to)) {
                let skip = bars.len().saturating_sub(TAIL_BARS.max(hot + held).min(MOST_BARS));
                let kept = bars.get(skip..).unwrap_or_default();
                self.inner.tails.keep(series, kept, whole && skip == 0, self.lsn);
            }
        }
        Ok(bars)
    }

    /// The bars of a series as they were known at an instant: later corrections are not seen, and bars
    /// that came later are left out. Bars that were removed since stay removed.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn bars_as_of(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        as_of: Timestamp,
    ) -> ReadResult<Vec<Bar>> {
        let limit = Version::floor_of(Timestamp::from_nanos(as_of.nanos().saturating_add(1_000_000)));
        let mut revisions = self.revisions(series, from, to)?;
        revisions.retain(|revision| revision.known_from < limit && limit <= revision.known_to);
        let mut old = revisions.into_iter().peekable();
        let mut found = Vec::new();
        for VersionedBar { bar, version } in self.merged().range(series, from, to)? {
            while old.next_if(|revision| revision.bar.ts < bar.ts).is_some() {}
            if version < limit {
                found.push(bar);
            } else if let Some(revision) = old.next_if(|revision| revision.bar.ts == bar.ts) {
                found.push(revision.bar);
            }
        }
        Ok(found)
    }

    /// Older contents of a series' bars from `from` to `to`, both included, in the order of `ts` and time.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn revisions(&self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> ReadResult<Vec<Revision>> {
        let mut found = Vec::new();
        let end = keys::after_prefix(&keys::bar(series, to));
        self.view.scan(Tab::Revisions, &keys::bar(series, from), &end, false, &mut |key, value| {
            let (_, ts) = keys::read_bar(key).ok_or_else(|| missing("revision key"))?;
            let (old, known_to) = RevisionV1::from_bytes(key, value)?.read(ts)?;
            found.push(Revision { bar: old.bar, known_from: old.version, known_to });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The last `count` bars of a series, ascending. Up to 128 are mostly answered from memory.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn last_bars(&self, series: &SeriesKey, count: usize) -> ReadResult<Vec<Bar>> {
        self.view.alive()?;
        if let Some(bars) = self.inner.tails.last(series, count, self.lsn) {
            return Ok(bars);
        }
        let Some(summary) = self.series(series)? else { return Ok(Vec::new()) };
        let rows = self.merged().last(series, summary.last, summary.first, count)?;
        let bars: Vec<Bar> = rows.into_iter().map(|row| row.bar).collect();
        let whole = bars.len() as u64 >= summary.count;
        self.inner.tails.keep(series, &bars, whole, self.lsn);
        Ok(bars)
    }

    /// The last `count` bars of each series.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn last_bars_of(&self, series: &[SeriesKey], count: usize) -> ReadResult<Vec<Vec<Bar>>> {
        series.iter().map(|series| self.last_bars(series, count)).collect()
    }

    /// The bars of all instruments at one `ts`, in the order of instruments.
    ///
    /// # Errors
    /// Every variant of [`ReadError`](crate::ReadError).
    pub fn cross_section(
        &self,
        interval: Interval,
        adjustment: AdjustmentTag,
        ts: Timestamp,
    ) -> ReadResult<Vec<(InstrumentId, Bar)>> {
        self.merged().cross_section_as(interval, adjustment, ts, |row| row.bar)
    }

    /// First, last and count of a series, without a scan; `None` where it has no bars.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn series(&self, series: &SeriesKey) -> ReadResult<Option<SeriesSummary>> {
        let Some(number) = read_number(&self.view, &series.instrument)? else { return Ok(None) };
        let key = keys::stats_page(series.interval, series.adjustment, number / STATS_PER_PAGE);
        let page: Option<StatsPageV1> = self.view.row(Tab::Stats, &key)?;
        Ok(page.and_then(|page| summary(*series, page.get(number))))
    }

    /// First, last and count of all series, in the order of interval, adjustment and instrument.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn all_series(
        &self,
        interval: Option<Interval>,
        adjustment: Option<AdjustmentTag>,
    ) -> ReadResult<Vec<SeriesSummary>> {
        let mut names = std::collections::HashMap::new();
        self.view.scan_prefix(Tab::Instruments, &[], &mut |key, value| {
            let instrument = InstrumentId::from_trusted(key).ok_or_else(|| missing("instrument"))?;
            names.insert(barkeeper_storage::NumberV1::from_bytes(key, value)?.number, instrument);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut found = Vec::new();
        self.view.scan_prefix(Tab::Stats, &[], &mut |key, value| {
            let (of, tag, page) = keys::read_stats_page(key).ok_or_else(|| missing("statistics key"))?;
            if interval.is_some_and(|i| i != of) || adjustment.is_some_and(|a| a != tag) {
                return Ok(ControlFlow::Continue(()));
            }
            let stats = StatsPageV1::from_bytes(key, value)?;
            for number in page * STATS_PER_PAGE..(page + 1) * STATS_PER_PAGE {
                if let Some(instrument) = names.get(&number) {
                    let series = SeriesKey { interval: of, adjustment: tag, instrument: *instrument };
                    found.extend(summary(series, stats.get(number)));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.sort_by_key(|summary| summary.series);
        Ok(found)
    }

    /// Where imported rows came from, in the order of the files' hashes.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn imports(&self) -> ReadResult<Vec<ImportRecord>> {
        let mut found = Vec::new();
        self.view.scan_prefix(Tab::Imports, &[], &mut |key, value| {
            let hash = String::from_utf8(key.to_vec()).map_err(|_| missing("import key"))?;
            found.push(ImportV1::from_bytes(key, value)?.read(hash).0);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}

/// A stored position with its relaxed extremes.
fn shown(relaxed: &Extremes, mut position: Position, entry: u64) -> Position {
    if let Some(extreme) = relaxed.get(&position.key) {
        extreme.show(&mut position, entry);
    }
    position
}

fn summary(series: SeriesKey, stat: SeriesStat) -> Option<SeriesSummary> {
    (stat.count > 0).then_some(SeriesSummary {
        series,
        count: stat.count,
        first: Timestamp::from_nanos(stat.first),
        last: Timestamp::from_nanos(stat.last),
    })
}
