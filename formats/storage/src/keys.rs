//! Keys whose byte order is the order of records.
//!
//! Integers are big endian, signed ones with the sign bit flipped. Text that is followed by more is
//! ended by a zero byte: names hold no control characters, so no text holds one.

use barkeeper_records::{
    AccountId, AdjustmentTag, BookId, Bucket, EventPlace, InstrumentId, Interval, Lsn, PositionKey,
    RequestId, SeriesKey, StrategyId, StrategySnapshotKey, Table, Timestamp, TradeId, TradingDay,
};

/// Appends the parts of a key.
#[derive(Debug, Default)]
struct Key(Vec<u8>);

impl Key {
    fn with(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn last_text(mut self, text: &[u8]) -> Self {
        self.0.extend_from_slice(text);
        self
    }

    fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn u128(mut self, number: u128) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn i32(self, number: i32) -> Self {
        self.u32(number as u32 ^ (1 << 31))
    }

    fn i64(self, number: i64) -> Self {
        self.u64(number as u64 ^ (1 << 63))
    }
}

/// Reads the parts of a key, front to back.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_at_checked(N)?;
        self.0 = tail;
        head.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.u32().map(|number| (number ^ (1 << 31)) as i32)
    }

    fn i64(&mut self) -> Option<i64> {
        self.u64().map(|number| (number ^ (1 << 63)) as i64)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(text)
    }

    /// `value` where nothing is left over.
    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

fn name(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The smallest key that lies behind every key with this prefix; empty where there is none.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    end
}

/// Position: account, book, instrument.
pub fn position(key: &PositionKey) -> Vec<u8> {
    Key::with(64).text(key.account.as_str()).text(key.book.as_str()).last_text(key.instrument.as_bytes()).0
}

/// The position of a key.
pub fn read_position(key: &[u8]) -> Option<PositionKey> {
    read_position_of(key, &mut None)
}

/// The position of a key. Positions read one behind the other share account and book through `names`,
/// which begins as `None`.
pub fn read_position_of(key: &[u8], names: &mut Option<(AccountId, BookId)>) -> Option<PositionKey> {
    let mut parts = Parts(key);
    let (account, book) = (parts.text()?, parts.text()?);
    let same = names.as_ref().is_some_and(|(known_account, known_book)| {
        known_account.as_str().as_bytes() == account && known_book.as_str().as_bytes() == book
    });
    if !same {
        *names = Some((AccountId::new(name(account)?).ok()?, BookId::new(name(book)?).ok()?));
    }
    let (account, book) = names.clone()?;
    Some(PositionKey { account, book, instrument: InstrumentId::from_trusted(parts.rest())? })
}

/// The prefix of an account's positions, books or trades.
pub fn account(account: &AccountId) -> Vec<u8> {
    Key::with(32).text(account.as_str()).0
}

/// The prefix of a book's positions, and with it the key of the book itself.
pub fn book(account: &AccountId, book: &BookId) -> Vec<u8> {
    Key::with(48).text(account.as_str()).text(book.as_str()).0
}

/// The book of a key.
pub fn read_book(key: &[u8]) -> Option<(AccountId, BookId)> {
    let mut parts = Parts(key);
    let account = AccountId::new(name(parts.text()?)?).ok()?;
    let book = BookId::new(name(parts.text()?)?).ok()?;
    parts.end((account, book))
}

/// Trade record: account, time, id.
pub fn trade(account: &AccountId, ts: Timestamp, id: TradeId) -> Vec<u8> {
    Key::with(64).text(account.as_str()).i64(ts.nanos()).u128(id.0).0
}

/// The prefix of an account's trade records from an instant on.
pub fn trades_from(account: &AccountId, ts: Timestamp) -> Vec<u8> {
    Key::with(48).text(account.as_str()).i64(ts.nanos()).0
}

/// The time and id of a trade record's key.
pub fn read_trade(key: &[u8]) -> Option<(AccountId, Timestamp, TradeId)> {
    let mut parts = Parts(key);
    let account = AccountId::new(name(parts.text()?)?).ok()?;
    let ts = Timestamp::from_nanos(parts.i64()?);
    let id = TradeId(u128::from_be_bytes(parts.take()?));
    parts.end((account, ts, id))
}

/// Index of trade records: id.
pub fn trade_id(id: TradeId) -> Vec<u8> {
    Key::with(16).u128(id.0).0
}

/// The id that [`trade_id`] wrote.
pub const fn id_of(bytes: [u8; 16]) -> TradeId {
    TradeId(u128::from_be_bytes(bytes))
}

/// Index of trade records: account, instrument, time, id.
pub fn trade_by_instrument(
    account: &AccountId,
    instrument: &InstrumentId,
    ts: Timestamp,
    id: TradeId,
) -> Vec<u8> {
    Key::with(96).text(account.as_str()).text(instrument.as_str()).i64(ts.nanos()).u128(id.0).0
}

/// The prefix of an account's trade records of one instrument from an instant on.
pub fn trades_of_instrument_from(account: &AccountId, instrument: &InstrumentId, ts: Timestamp) -> Vec<u8> {
    Key::with(80).text(account.as_str()).text(instrument.as_str()).i64(ts.nanos()).0
}

/// The prefix of an account's trade records of one instrument.
pub fn trades_of_instrument(account: &AccountId, instrument: &InstrumentId) -> Vec<u8> {
    Key::with(72).text(account.as_str()).text(instrument.as_str()).0
}

/// The time and id of a key of the index by instrument.
pub fn read_trade_by_instrument(key: &[u8]) -> Option<(Timestamp, TradeId)> {
    let mut parts = Parts(key);
    parts.text()?;
    parts.text()?;
    let ts = Timestamp::from_nanos(parts.i64()?);
    let id = TradeId(u128::from_be_bytes(parts.take()?));
    parts.end((ts, id))
}

/// Index of trade records: account, trading day, the broker's number.
pub fn external_id(account: &AccountId, day: TradingDay, external: &str) -> Vec<u8> {
    Key::with(96).text(account.as_str()).i32(day.days()).last_text(external.as_bytes()).0
}

/// Corporate action: instrument, ex-day.
pub fn factor(instrument: &InstrumentId, ex_day: TradingDay) -> Vec<u8> {
    Key::with(32).text(instrument.as_str()).i32(ex_day.days()).0
}

/// The prefix of an instrument's corporate actions.
pub fn factors_of(instrument: &InstrumentId) -> Vec<u8> {
    Key::with(24).text(instrument.as_str()).0
}

/// Instrument and ex-day of a corporate action's key.
pub fn read_factor(key: &[u8]) -> Option<(InstrumentId, TradingDay)> {
    let mut parts = Parts(key);
    let instrument = InstrumentId::from_trusted(parts.text()?)?;
    let ex_day = TradingDay::from_days(parts.i32()?)?;
    parts.end((instrument, ex_day))
}

/// Saved state: strategy, time, number.
pub fn strategy_snapshot(key: &StrategySnapshotKey) -> Vec<u8> {
    Key::with(48).text(key.strategy.as_str()).i64(key.saved_at.nanos()).u32(key.sequence).0
}

/// The prefix of a strategy's saved states.
pub fn strategy_snapshots(strategy: &StrategyId) -> Vec<u8> {
    Key::with(32).text(strategy.as_str()).0
}

/// The prefix of a strategy's saved states of an instant, and with it the first key from it on.
pub fn strategy_snapshots_from(strategy: &StrategyId, saved_at: Timestamp) -> Vec<u8> {
    Key::with(48).text(strategy.as_str()).i64(saved_at.nanos()).0
}

/// The state of a key.
pub fn read_strategy_snapshot(key: &[u8]) -> Option<StrategySnapshotKey> {
    let mut parts = Parts(key);
    let strategy = StrategyId::new(name(parts.text()?)?).ok()?;
    let saved_at = Timestamp::from_nanos(parts.i64()?);
    let sequence = parts.u32()?;
    parts.end(StrategySnapshotKey { strategy, saved_at, sequence })
}

/// The prefix of all series of an interval and adjustment.
pub fn bars_of(interval: Interval, adjustment: AdjustmentTag) -> Vec<u8> {
    Key::with(8).u32(interval.code()).u8(adjustment.code()).0
}

/// The prefix of a series.
pub fn series(key: &SeriesKey) -> Vec<u8> {
    Key::with(64).u32(key.interval.code()).u8(key.adjustment.code()).text(key.instrument.as_str()).0
}

/// The prefix of all series of an interval and adjustment whose instruments begin with a text.
pub fn series_group(interval: Interval, adjustment: AdjustmentTag, group: &str) -> Vec<u8> {
    Key::with(16).u32(interval.code()).u8(adjustment.code()).last_text(group.as_bytes()).0
}

/// Bar in the delta: series, `ts`.
pub fn bar(key: &SeriesKey, ts: Timestamp) -> Vec<u8> {
    Key::with(64)
        .u32(key.interval.code())
        .u8(key.adjustment.code())
        .text(key.instrument.as_str())
        .i64(ts.nanos())
        .0
}

/// The series of a key from [`series`].
pub fn read_series(key: &[u8]) -> Option<SeriesKey> {
    let mut parts = Parts(key);
    let series = read_series_parts(&mut parts)?;
    parts.end(series)
}

/// The series and `ts` of a bar's key, and of a revision's, which goes on behind it.
pub fn read_bar(key: &[u8]) -> Option<(SeriesKey, Timestamp)> {
    let mut parts = Parts(key);
    let series = read_series_parts(&mut parts)?;
    Some((series, Timestamp::from_nanos(parts.i64()?)))
}

fn read_series_parts(parts: &mut Parts<'_>) -> Option<SeriesKey> {
    let interval = Interval::from_code(parts.u32()?)?;
    let adjustment = AdjustmentTag::from_code(parts.u8()?)?;
    let instrument = InstrumentId::from_trusted(parts.text()?)?;
    Some(SeriesKey { interval, adjustment, instrument })
}

/// An older content of a bar: series, `ts`, the version that replaced it.
pub fn revision(key: &SeriesKey, ts: Timestamp, replaced_by: u64) -> Vec<u8> {
    let mut bytes = bar(key, ts);
    bytes.extend_from_slice(&replaced_by.to_be_bytes());
    bytes
}

/// A range tombstone: series, LSN, place in the batch.
pub fn tombstone(key: &SeriesKey, lsn: Lsn, ordinal: u32) -> Vec<u8> {
    Key::with(64)
        .u32(key.interval.code())
        .u8(key.adjustment.code())
        .text(key.instrument.as_str())
        .u64(lsn.0)
        .u32(ordinal)
        .0
}

/// The series and LSN of a range tombstone's key.
pub fn read_tombstone(key: &[u8]) -> Option<(SeriesKey, Lsn)> {
    let mut parts = Parts(key);
    let series = read_series_parts(&mut parts)?;
    let lsn = Lsn(parts.u64()?);
    parts.u32()?;
    parts.end((series, lsn))
}

/// The prefix of a slab: interval, adjustment, `ts`.
pub fn slab(interval: Interval, adjustment: AdjustmentTag, ts: Timestamp) -> Vec<u8> {
    Key::with(16).u32(interval.code()).u8(adjustment.code()).i64(ts.nanos()).0
}

/// A chunk of a slab: interval, adjustment, `ts`, the chunk's first instrument.
pub fn chunk(interval: Interval, adjustment: AdjustmentTag, ts: Timestamp, first: &InstrumentId) -> Vec<u8> {
    let mut bytes = slab(interval, adjustment, ts);
    bytes.extend_from_slice(first.as_bytes());
    bytes
}

/// Interval, adjustment, `ts` and first instrument of a chunk's key.
pub fn read_chunk(key: &[u8]) -> Option<(Interval, AdjustmentTag, Timestamp, InstrumentId)> {
    let mut parts = Parts(key);
    let interval = Interval::from_code(parts.u32()?)?;
    let adjustment = AdjustmentTag::from_code(parts.u8()?)?;
    let ts = Timestamp::from_nanos(parts.i64()?);
    Some((interval, adjustment, ts, InstrumentId::from_trusted(parts.rest())?))
}

/// The prefix of a table's ticks or market trades.
pub fn event_table(table: Table) -> Vec<u8> {
    vec![table.code()]
}

/// Where a chunk of a slab stands: the slab's minute, the commit that wrote it, its place in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventSlab {
    /// Ticks or market trades.
    pub table: Table,
    /// The minute in which all rows lie.
    pub start: Timestamp,
    /// The commit that wrote it.
    pub lsn: Lsn,
    /// Its place among the slabs of the batch.
    pub ordinal: u32,
    /// The chunk's first instrument.
    pub first: InstrumentId,
}

impl EventSlab {
    /// The prefix of all chunks of the slab.
    pub fn prefix(&self) -> Vec<u8> {
        let key = Key::with(48).u8(self.table.code()).i64(self.start.nanos());
        key.u64(self.lsn.0).u32(self.ordinal).0
    }

    /// The key of the chunk that begins with an instrument.
    pub fn chunk(&self, first: &InstrumentId) -> Vec<u8> {
        Key(self.prefix()).last_text(first.as_bytes()).0
    }
}

/// The slab and the first instrument of a chunk's key.
pub fn read_event_slab(key: &[u8]) -> Option<EventSlab> {
    let mut parts = Parts(key);
    let table = Table::from_code(parts.u8()?)?;
    let start = Timestamp::from_nanos(parts.i64()?);
    let (lsn, ordinal) = (Lsn(parts.u64()?), parts.u32()?);
    Some(EventSlab { table, start, lsn, ordinal, first: InstrumentId::from_trusted(parts.rest())? })
}

/// The prefix of all slabs of a minute.
pub fn event_slabs_of(table: Table, start: Timestamp) -> Vec<u8> {
    Key::with(9).u8(table.code()).i64(start.nanos()).0
}

/// Tick or market trade: table, instrument, `ts`, sequence. A block has the key of its first row.
pub fn event(table: Table, instrument: &InstrumentId, place: EventPlace) -> Vec<u8> {
    let key = Key::with(48).u8(table.code()).text(instrument.as_str());
    key.i64(place.ts.nanos()).u64(place.sequence).0
}

/// The prefix of an instrument's ticks or market trades.
pub fn events_of(table: Table, instrument: &InstrumentId) -> Vec<u8> {
    Key::with(32).u8(table.code()).text(instrument.as_str()).0
}

/// The prefix of an instrument's rows at an instant.
pub fn events_until(table: Table, instrument: &InstrumentId, ts: Timestamp) -> Vec<u8> {
    Key::with(40).u8(table.code()).text(instrument.as_str()).i64(ts.nanos()).0
}

/// Table, instrument and place of a key from [`event`].
pub fn read_event(key: &[u8]) -> Option<(Table, InstrumentId, EventPlace)> {
    let mut parts = Parts(key);
    let table = Table::from_code(parts.u8()?)?;
    let instrument = InstrumentId::from_trusted(parts.text()?)?;
    let place = EventPlace { ts: Timestamp::from_nanos(parts.i64()?), sequence: parts.u64()? };
    parts.end((table, instrument, place))
}

/// A page of statistics of ticks or market trades: table, instrument number / 64.
pub fn event_stats(table: Table, page: u32) -> Vec<u8> {
    Key::with(8).u8(table.code()).u32(page).0
}

/// Table and page of such a key.
pub fn read_event_stats(key: &[u8]) -> Option<(Table, u32)> {
    let mut parts = Parts(key);
    let place = (Table::from_code(parts.u8()?)?, parts.u32()?);
    parts.end(place)
}

/// A page of series statistics: interval, adjustment, instrument number / 64.
pub fn stats_page(interval: Interval, adjustment: AdjustmentTag, page: u32) -> Vec<u8> {
    Key::with(12).u32(interval.code()).u8(adjustment.code()).u32(page).0
}

/// Interval, adjustment and page of a statistics page's key.
pub fn read_stats_page(key: &[u8]) -> Option<(Interval, AdjustmentTag, u32)> {
    let mut parts = Parts(key);
    let interval = Interval::from_code(parts.u32()?)?;
    let adjustment = AdjustmentTag::from_code(parts.u8()?)?;
    let page = parts.u32()?;
    parts.end((interval, adjustment, page))
}

/// A record of the change log: LSN, place in the batch.
pub fn log(lsn: Lsn, ordinal: u32) -> Vec<u8> {
    Key::with(12).u64(lsn.0).u32(ordinal).0
}

/// LSN and place of a log record's key.
pub fn read_log(key: &[u8]) -> Option<(Lsn, u32)> {
    let mut parts = Parts(key);
    let place = (Lsn(parts.u64()?), parts.u32()?);
    parts.end(place)
}

/// The key of the merge that made a generation of the manifest.
pub fn merge(generation: u64) -> Vec<u8> {
    Key::with(8).u64(generation).0
}

/// The generation of a merge's key.
pub fn read_merge(key: &[u8]) -> Option<u64> {
    let mut parts = Parts(key);
    let generation = parts.u64()?;
    parts.end(generation)
}

/// A bucket's digest: table, group, period.
pub fn bucket(bucket: &Bucket) -> Vec<u8> {
    Key::with(32).u8(bucket.table.code()).text(&bucket.group).i32(bucket.period).0
}

/// The prefix of a table's digests.
pub fn buckets_of(table: Table) -> Vec<u8> {
    vec![table.code()]
}

/// The bucket of a digest's key.
pub fn read_bucket(key: &[u8]) -> Option<Bucket> {
    let mut parts = Parts(key);
    let table = Table::from_code(parts.u8()?)?;
    let group = name(parts.text()?)?.to_owned();
    let period = parts.i32()?;
    parts.end(Bucket { table, group, period })
}

/// A request id: client, id.
pub fn request(request: &RequestId) -> Vec<u8> {
    Key::with(64).text(&request.client).last_text(request.id.as_bytes()).0
}

/// The prefix of a client's request ids.
pub fn client(client: &str) -> Vec<u8> {
    Key::with(32).text(client).0
}

/// A client's request ids in the order in which they came: client, sequence.
pub fn request_order(client: &str, sequence: u64) -> Vec<u8> {
    Key::with(48).text(client).u64(sequence).0
}

/// The sequence of a key of the order of requests.
pub fn read_request_order(key: &[u8]) -> Option<u64> {
    let mut parts = Parts(key);
    parts.text()?;
    let sequence = parts.u64()?;
    parts.end(sequence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instrument() -> impl Strategy<Value = InstrumentId> {
        "[0-9]{6}".prop_map(|code| format!("{code}.SZ").parse().unwrap())
    }

    fn interval() -> impl Strategy<Value = Interval> {
        prop::sample::select(vec!["1m", "5m", "1h", "1d", "1w", "1mo"]).prop_map(|text| text.parse().unwrap())
    }

    fn adjustment() -> impl Strategy<Value = AdjustmentTag> {
        prop::sample::select(AdjustmentTag::ALL.to_vec())
    }

    prop_compose! {
        fn series_key()(interval in interval(), adjustment in adjustment(), instrument in instrument()) -> SeriesKey {
            SeriesKey { interval, adjustment, instrument }
        }
    }

    proptest! {
        #[test]
        fn bars_order_as_series_and_time(a in series_key(), x in any::<i64>(), b in series_key(), y in any::<i64>()) {
            let (x, y) = (Timestamp::from_nanos(x), Timestamp::from_nanos(y));
            prop_assert_eq!(bar(&a, x).cmp(&bar(&b, y)), (a, x).cmp(&(b, y)));
            prop_assert_eq!(read_bar(&bar(&a, x)), Some((a, x)));
            prop_assert!(bar(&a, x).starts_with(&series(&a)));
        }

        #[test]
        fn chunks_order_as_time_and_instrument(a in series_key(), x in any::<i64>(), b in instrument(), y in any::<i64>()) {
            let (x, y) = (Timestamp::from_nanos(x), Timestamp::from_nanos(y));
            let one = chunk(a.interval, a.adjustment, x, &a.instrument);
            let two = chunk(a.interval, a.adjustment, y, &b);
            prop_assert_eq!(one.cmp(&two), (x, a.instrument).cmp(&(y, b)));
            prop_assert_eq!(read_chunk(&one), Some((a.interval, a.adjustment, x, a.instrument)));
        }

        #[test]
        fn accounts_that_begin_alike_stay_apart(a in "[a-z]{1,4}", b in "[a-z]{1,4}", i in instrument()) {
            let key = |name: &str| PositionKey::main(AccountId::new(name).unwrap(), i);
            prop_assert_eq!(position(&key(&a)).cmp(&position(&key(&b))), a.cmp(&b));
            prop_assert_eq!(read_position(&position(&key(&a))), Some(key(&a)));
            let mut names = None;
            for one in [key(&a), key(&b), key(&b), key(&a)] {
                prop_assert_eq!(read_position_of(&position(&one), &mut names), Some(one));
            }
            let within = position(&key(&b)).starts_with(&account(&AccountId::new(&a).unwrap()));
            prop_assert_eq!(within, a == b);
        }

        #[test]
        fn trades_buckets_and_logs_round_trip(ts in any::<i64>(), id in any::<u128>(), period in any::<i32>(), lsn in any::<u64>(), n in any::<u32>()) {
            let owner = AccountId::new("甲").unwrap();
            let ts = Timestamp::from_nanos(ts);
            prop_assert_eq!(read_trade(&trade(&owner, ts, TradeId(id))), Some((owner, ts, TradeId(id))));
            let one = Bucket { table: Table::Bars, group: "1d/raw/000".into(), period };
            prop_assert_eq!(read_bucket(&bucket(&one)), Some(one));
            prop_assert_eq!(read_log(&log(Lsn(lsn), n)), Some((Lsn(lsn), n)));
        }

        #[test]
        fn any_bytes_are_read_as_a_key_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop((read_position(&bytes), read_book(&bytes), read_trade(&bytes), read_bar(&bytes)));
            drop((read_tombstone(&bytes), read_chunk(&bytes), read_stats_page(&bytes), read_log(&bytes), read_bucket(&bytes)));
            prop_assert!(read_factor(&bytes).is_none_or(|(instrument, day)| factor(&instrument, day) == bytes));
        }

        #[test]
        fn the_end_of_a_prefix_lies_behind_all_its_keys(prefix in prop::collection::vec(any::<u8>(), 1..6), tail in prop::collection::vec(any::<u8>(), 0..6)) {
            let end = after_prefix(&prefix);
            let mut key = prefix.clone();
            key.extend(tail);
            prop_assert!(end.is_empty() || key < end);
        }
    }
}
