//! Cases about the stream: claims, watermarks, identity, poison.

use barkeeper_records::{Change, Cursor, Lsn, Table, Timestamp, Value};

use super::sample::{bar, bar_key, book, row, series};
use super::{Failure, Remote, expect, expect_error, expect_true};
use crate::claim::Claim;
use crate::error::SinkError;
use crate::sink::{Access, Applied, Content, Guarantee, Hello, Poisoned, RemoteState, Shipment, Sink};

/// The store of most cases.
pub(super) const STORE: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
const NOW: Timestamp = Timestamp::from_nanos(1_760_000_000_000_000_000);

pub(super) const fn claim(generation: u64, owner: u128) -> Claim {
    Claim { epoch: 1, generation, owner }
}

pub(super) fn hello(claim: Claim, previous: Option<Claim>) -> Hello {
    Hello {
        store_id: STORE,
        device: 1,
        claim,
        previous,
        unanswered: Vec::new(),
        takeover: false,
        incarnation: None,
        at: NOW,
    }
}

/// A new sink that holds the stream.
pub(super) fn greeted(remote: &Remote) -> Result<(Box<dyn Sink>, RemoteState), Failure> {
    let mut sink = (remote.open)();
    sink.connect(Access::Write)?;
    let state = sink.handshake(&hello(claim(1, 11), None))?;
    Ok((sink, state))
}

pub(super) const fn at(lsn: u64) -> Cursor {
    Cursor { lsn: Lsn(lsn), within: Vec::new() }
}

/// Ships changes from one LSN to another; the chain is ten times the LSN.
pub(super) fn ship(
    sink: &mut dyn Sink,
    changes: &[Change],
    from: u64,
    to: u64,
) -> Result<Applied, SinkError> {
    let (expected, next) = (at(from), at(to));
    let chain = to * 10;
    sink.apply(&Shipment { expected: &expected, changes, poison: &[], next: &next, chain, at: NOW })
}

fn bars(count: i64) -> Vec<Change> {
    let series = series("000001.SZ", "1m");
    let one = |ts| row(Table::Bars, bar_key(&series, ts), bar(1.5, 100.0), 5, 1);
    (0..count).map(|minute| Change::Put(one(minute * 60_000_000_000))).collect()
}

/// Live rows of a table, counted by the target.
pub(super) fn live(sink: &mut dyn Sink, table: Table) -> Result<u64, SinkError> {
    Ok(sink.digests(table)?.iter().map(|(_, digest)| digest.count).sum())
}

fn watermark(sink: &mut dyn Sink) -> Result<Option<(Cursor, u64)>, SinkError> {
    Ok(sink.observe(STORE)?.map(|state| (state.cursor, state.chain)))
}

pub(super) fn changes_are_applied_once(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, fresh) = greeted(remote)?;
    expect("the watermark of a fresh target", &(fresh.cursor, fresh.chain), &(at(0), 0))?;
    expect("a first shipment", &ship(&mut *sink, &bars(3), 0, 1)?, &Applied::Now)?;
    expect("an empty shipment", &ship(&mut *sink, &[], 1, 2)?, &Applied::Now)?;
    let digests = sink.digests(Table::Bars)?;
    expect("a replay", &ship(&mut *sink, &bars(3), 0, 1)?, &Applied::AlreadyThere { stands: at(2) })?;
    expect("digests after a replay", &sink.digests(Table::Bars)?, &digests)?;
    expect("the watermark", &watermark(&mut *sink)?, &Some((at(2), 20)))?;
    // Rows out of the log's order leave the watermark where it is.
    expect("rows beside the log", &ship(&mut *sink, &bars(5), 2, 2)?, &Applied::Now)?;
    expect("live rows", &live(&mut *sink, Table::Bars)?, &5)?;
    expect("the watermark after them", &watermark(&mut *sink)?, &Some((at(2), 20)))
}

pub(super) fn a_lost_acknowledgement_is_found(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, first) = greeted(remote)?;
    ship(&mut *sink, &bars(3), 0, 7)?;
    drop(sink);
    let (mut sink, state) = greeted(remote)?;
    expect("the watermark at the handshake", &(state.cursor, state.chain), &(at(7), 70))?;
    expect("the database", &state.incarnation, &first.incarnation)?;
    expect(
        "the shipment again",
        &ship(&mut *sink, &bars(3), 0, 7)?,
        &Applied::AlreadyThere { stands: at(7) },
    )?;
    expect("live rows", &live(&mut *sink, Table::Bars)?, &3)
}

pub(super) fn a_shipment_from_elsewhere_is_refused(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    ship(&mut *sink, &bars(1), 0, 5)?;
    let error = expect_error("a shipment behind a gap", ship(&mut *sink, &bars(3), 6, 9))?;
    let SinkError::Elsewhere { expected, stands } = &error else { return Err(error.into()) };
    expect("where it stands", &(expected, stands.as_ref()), &(&at(6), Some(&at(5))))?;
    let inside = Cursor { lsn: Lsn(5), within: b"half".to_vec() };
    let (here, next) = (at(5), at(6));
    let part = Shipment { expected: &here, changes: &[], poison: &[], next: &inside, chain: 50, at: NOW };
    expect("half a commit", &sink.apply(&part)?, &Applied::Now)?;
    expect("the watermark inside it", &watermark(&mut *sink)?, &Some((inside.clone(), 50)))?;
    let rest = Shipment { expected: &inside, next: &next, chain: 60, ..part };
    expect("the other half", &sink.apply(&rest)?, &Applied::Now)?;
    expect("the first half again", &sink.apply(&part)?, &Applied::AlreadyThere { stands: at(6) })?;
    expect("live rows", &live(&mut *sink, Table::Bars)?, &1)
}

pub(super) fn a_zombie_is_fenced(remote: &Remote) -> Result<(), Failure> {
    let (mut zombie, _) = greeted(remote)?;
    ship(&mut *zombie, &bars(1), 0, 1)?;
    let mut heir = (remote.open)();
    heir.connect(Access::Write)?;
    heir.handshake(&hello(claim(2, 22), Some(claim(1, 11))))?;
    let error = expect_error("a late shipment of the process before", ship(&mut *zombie, &bars(4), 1, 2))?;
    expect_true("that it is fenced", matches!(error, SinkError::Fenced { held } if held == claim(2, 22)))?;
    let error =
        expect_error("a late forced write", zombie.force(&crate::sink::Force { rows: &[], deletes: &[] }))?;
    expect_true("that it is fenced too", matches!(error, SinkError::Fenced { .. }))?;
    expect("the heir's shipment", &ship(&mut *heir, &bars(2), 1, 2)?, &Applied::Now)?;
    expect("live rows", &live(&mut *heir, Table::Bars)?, &2)
}

pub(super) fn a_copied_folder_is_fenced(remote: &Remote) -> Result<(), Failure> {
    drop(greeted(remote)?);
    // Both copies know the first claim and ask for the next one.
    let mut original = (remote.open)();
    original.connect(Access::Write)?;
    original.handshake(&hello(claim(2, 22), Some(claim(1, 11))))?;
    let mut copy = (remote.open)();
    copy.connect(Access::Write)?;
    let error =
        expect_error("the copy's handshake", copy.handshake(&hello(claim(2, 23), Some(claim(1, 11)))))?;
    expect_true("that it is fenced", matches!(error, SinkError::Fenced { held } if held == claim(2, 22)))?;
    expect("the original's shipment", &ship(&mut *original, &bars(2), 0, 1)?, &Applied::Now)?;
    // A person decides for the copy.
    copy.connect(Access::Write)?;
    let taken = Hello { takeover: true, ..hello(claim(2, 23), Some(claim(1, 11))) };
    expect("who may write now", &copy.handshake(&taken)?.claim, &claim(2, 23))?;
    let error = expect_error("the original's next shipment", ship(&mut *original, &bars(2), 1, 2))?;
    expect_true("that it is fenced", matches!(error, SinkError::Fenced { .. }))
}

pub(super) fn a_restored_store_takes_over(remote: &Remote) -> Result<(), Failure> {
    let (mut before, _) = greeted(remote)?;
    let mut restored = (remote.open)();
    restored.connect(Access::Write)?;
    let next_epoch = Claim { epoch: 2, generation: 1, owner: 31 };
    restored.handshake(&hello(next_epoch, None))?;
    let error = expect_error("a shipment of the older epoch", ship(&mut *before, &bars(1), 0, 1))?;
    expect_true("that it is fenced", matches!(error, SinkError::Fenced { .. }))?;
    before.connect(Access::Write)?;
    let again = before.handshake(&hello(claim(9, 99), Some(claim(1, 11))));
    let error = expect_error("the older epoch's handshake", again)?;
    expect_true("that it is fenced too", matches!(error, SinkError::Fenced { .. }))
}

pub(super) fn another_database_is_left_untouched(remote: &Remote) -> Result<(), Failure> {
    let mut sink = (remote.open)();
    sink.connect(Access::Write)?;
    let known = |name: &str| Hello { incarnation: Some(name.to_owned()), ..hello(claim(1, 11), None) };
    let error = expect_error("a handshake with an empty database", sink.handshake(&known("abc")))?;
    expect_true("the error", matches!(error, SinkError::OtherDatabase { found: None, .. }))?;
    sink.connect(Access::Read)?;
    expect("what an empty database knows", &sink.observe(STORE)?, &None)?;
    expect("its rows", &live(&mut *sink, Table::Bars)?, &0)?;
    let (_, state) = greeted(remote)?;
    sink.connect(Access::Write)?;
    let error = expect_error("a handshake with another database", sink.handshake(&known("abc")))?;
    let SinkError::OtherDatabase { expected, found } = error else { return Err(error.into()) };
    expect("the databases", &(expected.as_str(), found.as_ref()), &("abc", Some(&state.incarnation)))?;
    sink.connect(Access::Write)?;
    sink.handshake(&known(&state.incarnation))?;
    Ok(())
}

pub(super) fn a_device_number_belongs_to_one_store(remote: &Remote) -> Result<(), Failure> {
    let (mut first, _) = greeted(remote)?;
    let other = Hello { store_id: 77, ..hello(claim(1, 88), None) };
    let mut second = (remote.open)();
    second.connect(Access::Write)?;
    let error = expect_error("a second store with the same device", second.handshake(&other))?;
    expect_true("the error", matches!(error, SinkError::DeviceTaken { device: 1, .. }))?;
    second.connect(Access::Write)?;
    let state = second.handshake(&Hello { device: 2, ..other })?;
    expect("other devices", &state.other_devices, &vec![1])?;
    ship(&mut *second, &bars(2), 0, 3)?;
    expect("the first store's watermark", &watermark(&mut *first)?, &Some((at(0), 0)))?;
    let devices = first.observe(STORE)?.map(|state| state.other_devices);
    expect("other devices of the first", &devices, &Some(vec![2]))
}

/// A change that no target can hold: NULL where a value is needed.
fn impossible() -> Change {
    let (key, _) = book("bad", 1);
    Change::Put(row(Table::Books, key, vec![Value::Null], 5, 1))
}

pub(super) fn the_watermark_moves_with_its_rows(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    ship(&mut *sink, &bars(1), 0, 1)?;
    let mut changes = bars(4);
    changes.push(impossible());
    let error = expect_error("a shipment with an impossible row", ship(&mut *sink, &changes, 1, 2))?;
    let SinkError::Refused { change, .. } = &error else { return Err(error.into()) };
    expect_true("the row that is named", change.is_none_or(|at| at == 4))?;
    expect("the watermark", &watermark(&mut *sink)?, &Some((at(1), 10)))?;
    if sink.guarantee() == Guarantee::Transactional {
        expect("live rows", &live(&mut *sink, Table::Bars)?, &1)?;
    }
    expect("the rest of the shipment", &ship(&mut *sink, &bars(4), 1, 2)?, &Applied::Now)?;
    expect("live rows in the end", &live(&mut *sink, Table::Bars)?, &4)
}

pub(super) fn poison_is_noted_and_forgotten(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    let poison = [Poisoned { change: impossible(), reason: "NULL".to_owned() }];
    let (here, next) = (at(0), at(1));
    let noted = Shipment { expected: &here, changes: &[], poison: &poison, next: &next, chain: 10, at: NOW };
    sink.apply(&noted)?;
    let again = Shipment { expected: &next, next: &next, ..noted };
    sink.apply(&again)?;
    drop(sink);
    let (mut sink, state) = greeted(remote)?;
    expect("poisoned rows", &state.poisoned, &1)?;
    let (key, values) = book("bad", 1);
    ship(&mut *sink, &[Change::Put(row(Table::Books, key, values, 6, 2))], 1, 2)?;
    let state = sink.observe(STORE)?.map(|state| state.poisoned);
    expect("poisoned rows once the row is there", &state, &Some(0))
}

pub(super) fn the_watermark_goes_where_a_person_puts_it(remote: &Remote) -> Result<(), Failure> {
    let (mut sink, _) = greeted(remote)?;
    ship(&mut *sink, &bars(2), 0, 9)?;
    sink.rewind(&at(4), 44, NOW)?;
    expect("the watermark", &watermark(&mut *sink)?, &Some((at(4), 44)))?;
    expect("a shipment from there", &ship(&mut *sink, &bars(2), 4, 9)?, &Applied::Now)?;
    expect("live rows", &live(&mut *sink, Table::Bars)?, &2)
}

pub(super) fn nothing_works_before_its_time(remote: &Remote) -> Result<(), Failure> {
    let mut sink = (remote.open)();
    let early = expect_error("digests before connecting", sink.digests(Table::Bars))?;
    expect_true("the error", matches!(early, SinkError::NotReady { .. }))?;
    sink.connect(Access::Write)?;
    let early = expect_error("a shipment before the handshake", ship(&mut *sink, &bars(1), 0, 1))?;
    expect_true("the error", matches!(early, SinkError::NotReady { .. }))?;
    drop(greeted(remote)?);
    sink.connect(Access::Read)?;
    expect("rows of an empty target", &live(&mut *sink, Table::Trades)?, &0)?;
    let early = expect_error("a write through a reading connection", ship(&mut *sink, &bars(1), 0, 1))?;
    expect_true("the error", matches!(early, SinkError::NotReady { .. }))?;
    sink.close();
    sink.close();
    sink.connect(Access::Write)?;
    Ok(())
}

/// Every row of a table as it stands there.
pub(super) fn all_rows(
    sink: &mut dyn Sink,
    buckets: &[barkeeper_records::Bucket],
) -> Result<Vec<(Vec<Value>, Content)>, SinkError> {
    let mut all = Vec::new();
    for bucket in buckets {
        all.extend(sink.rows(bucket, None, usize::MAX)?.into_iter().map(|row| (row.key, row.content)));
    }
    Ok(all)
}
