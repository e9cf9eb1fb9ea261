//! One batch under evaluation: its writes, log entries, digests and statistics, until it joins a
//! transaction or is dropped.

use std::collections::{BTreeMap, HashMap};

use barkeeper_records::{
    AccountId, Bar, Bucket, Hlc, HlcError, InstrumentId, Lsn, SeriesKey, Table, Timestamp, Version,
};
use barkeeper_storage::{
    HeadV1, LogEntry, LogV1, NumberV1, STATS_PER_PAGE, SeriesStat, StatsPageV1, StoredRow, keys,
};

use crate::digests::DigestChanges;
use crate::error::{CommitError, CommitResult, ReadResult, missing};
use crate::events::{EventChanges, Streams};
use crate::manifest::SegmentCache;
use crate::merge::Bars;
use crate::tables::{HEAD, Tab};
use crate::tails::Touch;
use crate::turnover::Traded;
use crate::view::{Staged, View, WriteTables};

/// A series that a batch changed, and how.
pub(crate) type Touches = BTreeMap<SeriesKey, Vec<Touch>>;

/// The evaluation of one batch.
pub(crate) struct Session<'a, 'txn> {
    pub(crate) staged: Staged<'a, 'txn>,
    pub(crate) segments: &'a SegmentCache,
    pub(crate) head: HeadV1,
    pub(crate) lsn: Lsn,
    pub(crate) version: Version,
    pub(crate) now: Timestamp,
    pub(crate) digests: DigestChanges,
    pub(crate) touches: Touches,
    pub(crate) traded: Vec<(AccountId, Traded)>,
    pub(crate) new_instruments: Vec<(InstrumentId, u32)>,
    /// Whether anything changed that the log must tell.
    pub(crate) changed: bool,
    /// Whether something must be written that no target hears of: a request id, an import record.
    pub(crate) noted: bool,
    /// What it changes of ticks and market trades beside rows.
    pub(crate) events: EventChanges,
    log: Vec<LogEntry>,
    stats: HashMap<Vec<u8>, StatsPageV1>,
    numbers: &'a HashMap<InstrumentId, u32>,
    keep_log: bool,
}

/// What a batch leaves behind once it has joined its transaction.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) touches: Touches,
    pub(crate) traded: Vec<(AccountId, Traded)>,
    pub(crate) streams: Streams,
    pub(crate) lsn: Lsn,
    pub(crate) new_instruments: Vec<(InstrumentId, u32)>,
}

impl<'a, 'txn> Session<'a, 'txn> {
    pub(crate) fn new(
        tables: &'a WriteTables<'txn>,
        segments: &'a SegmentCache,
        numbers: &'a HashMap<InstrumentId, u32>,
        device: u16,
        now: Timestamp,
        keep_log: bool,
    ) -> CommitResult<Self> {
        let head = read_head(tables)?;
        // What is left of a log that nobody needs any more goes bit by bit, and until then has no gap.
        let keep_log = keep_log || head.tail <= head.lsn;
        let last = Version::from_raw(head.version).ok_or_else(|| missing("version"))?;
        let exhausted = |_: HlcError| CommitError::ClockExhausted;
        let version = Hlc::new(device, last).map_err(exhausted)?.next(now).map_err(exhausted)?;
        Ok(Self {
            staged: Staged::new(tables),
            segments,
            lsn: Lsn(head.lsn + 1),
            head,
            version,
            now,
            digests: DigestChanges::default(),
            touches: Touches::new(),
            traded: Vec::new(),
            new_instruments: Vec::new(),
            changed: false,
            noted: false,
            events: EventChanges::default(),
            log: Vec::new(),
            stats: HashMap::new(),
            numbers,
            keep_log,
        })
    }

    /// The merged view of bars as this batch sees it.
    pub(crate) fn bars(&self) -> Bars<'_, Staged<'a, 'txn>> {
        Bars { view: &self.staged, segments: self.segments }
    }

    /// Gives the rest of the batch a higher version.
    pub(crate) fn advance(&mut self) -> CommitResult<()> {
        let device = self.version.device();
        let exhausted = |_: HlcError| CommitError::ClockExhausted;
        self.version =
            Hlc::new(device, self.version).map_err(exhausted)?.next(self.now).map_err(exhausted)?;
        Ok(())
    }

    /// Notes a change for the log.
    pub(crate) fn log(&mut self, entry: LogEntry) {
        self.changed = true;
        // A row that one batch writes twice is shipped once.
        if !matches!(&entry, LogEntry::Key { .. }) || !self.log.contains(&entry) {
            self.log.push(entry);
        }
    }

    /// Notes the change of one row.
    pub(crate) fn log_key(&mut self, table: Table, key: Vec<u8>) {
        self.changed = true;
        let repeated = self
            .log
            .iter()
            .rev()
            .take(64)
            .any(|entry| matches!(entry, LogEntry::Key { table: t, key: k } if *t == table && *k == key));
        if !repeated {
            self.log.push(LogEntry::Key { table, key });
        }
    }

    pub(crate) fn touch(&mut self, series: SeriesKey, touch: Touch) {
        self.touches.entry(series).or_default().push(touch);
    }

    pub(crate) fn digest_bar(&mut self, bucket: &Bucket, old: Option<i64>, new: Option<i64>) {
        if let Some(hash) = old {
            self.digests.remove(bucket.clone(), hash);
        }
        if let Some(hash) = new {
            self.digests.add(bucket.clone(), hash);
        }
    }

    /// The number of an instrument in this file, given at first sight.
    pub(crate) fn number(&mut self, instrument: &InstrumentId) -> ReadResult<u32> {
        if let Some(number) = self.numbers.get(instrument) {
            return Ok(*number);
        }
        if let Some(number) = read_number(&self.staged, instrument)? {
            return Ok(number);
        }
        let number = self.head.instruments;
        self.head.instruments += 1;
        let key = instrument.as_bytes().to_vec();
        self.staged.put_row(Tab::Instruments, key, &NumberV1 { number });
        self.new_instruments.push((*instrument, number));
        Ok(number)
    }

    /// First, last and count of a series; a count of 0 where it has no bars.
    pub(crate) fn stat(&mut self, series: &SeriesKey) -> ReadResult<SeriesStat> {
        let number = self.number(&series.instrument)?;
        let key = keys::stats_page(series.interval, series.adjustment, number / STATS_PER_PAGE);
        if let Some(page) = self.stats.get(&key) {
            return Ok(page.get(number));
        }
        let page: StatsPageV1 = self.staged.row(Tab::Stats, &key)?.unwrap_or_default();
        let stat = page.get(number);
        self.stats.insert(key, page);
        Ok(stat)
    }

    pub(crate) fn set_stat(&mut self, series: &SeriesKey, stat: SeriesStat) -> ReadResult<()> {
        self.stat(series)?;
        let number = self.number(&series.instrument)?;
        let key = keys::stats_page(series.interval, series.adjustment, number / STATS_PER_PAGE);
        self.stats.entry(key).or_default().set(number, stat);
        Ok(())
    }

    /// Widens the statistics of a series by bars that were inserted.
    pub(crate) fn count_in(&mut self, series: &SeriesKey, inserted: &[Bar]) -> ReadResult<()> {
        let (Some(first), Some(last)) = (inserted.first(), inserted.last()) else { return Ok(()) };
        let mut stat = self.stat(series)?;
        let (first, last) = (first.ts.nanos(), last.ts.nanos());
        if stat.count == 0 {
            stat = SeriesStat { count: 0, first, last };
        }
        stat.count += inserted.len() as u64;
        stat.first = stat.first.min(first);
        stat.last = stat.last.max(last);
        self.set_stat(series, stat)
    }

    /// Lets the batch join its transaction, under its LSN where something changed.
    pub(crate) fn join(mut self) -> CommitResult<Joined> {
        if !self.changed {
            write_head(&mut self.staged, &self.head);
            self.staged.apply()?;
            return Ok(Joined { lsn: Lsn(self.head.lsn), ..Joined::default() });
        }
        let stats = std::mem::take(&mut self.stats);
        for (key, page) in stats {
            self.staged.put_row(Tab::Stats, key, &page);
        }
        for ((table, page), stats) in std::mem::take(&mut self.events.stats) {
            self.staged.put_row(Tab::EventStats, keys::event_stats(table, page), &stats);
        }
        std::mem::take(&mut self.digests).apply(&mut self.staged, self.lsn)?;
        self.write_log();
        self.head.lsn = self.lsn.0;
        self.head.version = self.version.raw();
        write_head(&mut self.staged, &self.head);
        self.staged.apply()?;
        Ok(Joined {
            touches: self.touches,
            traded: self.traded,
            streams: self.events.streams,
            lsn: self.lsn,
            new_instruments: self.new_instruments,
        })
    }

    fn write_log(&mut self) {
        // Every LSN has a record, so that a reader of the log can see that none is missing.
        let entries = std::mem::take(&mut self.log);
        for (ordinal, entry) in entries.iter().enumerate() {
            let record = LogV1::of(entry, self.lsn, self.version, self.now, self.head.chain);
            self.head.chain = record.chain();
            if self.keep_log {
                let key = keys::log(self.lsn, u32::try_from(ordinal).unwrap_or(u32::MAX));
                let value = record.to_bytes(&key);
                self.head.log_bytes += (key.len() + value.len()) as u64;
                self.staged.put(Tab::Log, key, value);
            }
        }
        if !self.keep_log {
            self.head.tail = self.lsn.0 + 1;
            self.head.tail_chain = self.head.chain;
            self.head.log_bytes = 0;
        }
    }
}

pub(crate) fn read_number(view: &impl View, instrument: &InstrumentId) -> ReadResult<Option<u32>> {
    Ok(view.row::<NumberV1>(Tab::Instruments, instrument.as_bytes())?.map(|row| row.number))
}

pub(crate) fn read_head(view: &impl View) -> ReadResult<HeadV1> {
    view.row(Tab::Meta, HEAD)?.ok_or_else(|| missing("head"))
}

pub(crate) fn write_head(staged: &mut Staged<'_, '_>, head: &HeadV1) {
    staged.put_row(Tab::Meta, HEAD.to_vec(), head);
}
