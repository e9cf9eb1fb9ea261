//! Strategies' saved states as rows of the change feed.

use std::ops::ControlFlow;

use barkeeper_records::{Bucket, Lsn, Row, StrategyId, StrategySnapshotKey, Table, Timestamp, Value, limits};
use barkeeper_storage::{keys, rowview};

use crate::error::{ReadResult, missing};
use crate::feed::tombstone_row;
use crate::ops_snapshots::{read_state, state_hash};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

pub(crate) fn state_row(snapshot: &Snapshot, key: &StrategySnapshotKey, lsn: Lsn) -> ReadResult<Option<Row>> {
    let table = Table::StrategySnapshots;
    let Some((state, version)) = read_state(snapshot.view(), key)? else { return Ok(None) };
    let key = rowview::strategy_snapshot_key(key);
    Ok(Some(match state {
        Some(state) => Row {
            table,
            key,
            values: rowview::strategy_snapshot_values(&state),
            version,
            deleted: false,
            lsn,
            row_hash: state_hash(&state),
        },
        None => tombstone_row(table, key, version, lsn),
    }))
}

pub(crate) fn state_bucket(
    snapshot: &Snapshot,
    bucket: &Bucket,
    after: Option<&[Value]>,
    limit: usize,
) -> ReadResult<Vec<Row>> {
    let bad = || missing("bucket of states");
    let strategy = StrategyId::new(&bucket.group).map_err(|_| bad())?;
    let start = i64::from(bucket.period).saturating_mul(limits::PERIOD_NS);
    let from = match after {
        Some(after) => {
            let key = rowview::strategy_snapshot_key_of(after).ok_or_else(bad)?;
            let mut behind = keys::strategy_snapshot(&key);
            behind.push(0);
            behind
        }
        None => keys::strategy_snapshots_from(&strategy, Timestamp::from_nanos(start)),
    };
    let end = Timestamp::from_nanos(start.saturating_add(limits::PERIOD_NS));
    let end = keys::strategy_snapshots_from(&strategy, end);
    let mut found: Vec<StrategySnapshotKey> = Vec::new();
    snapshot.view().scan(Tab::StrategySnapshots, &from, &end, false, &mut |key, _| {
        if found.len() >= limit {
            return Ok(ControlFlow::Break(()));
        }
        found.push(keys::read_strategy_snapshot(key).ok_or_else(|| missing("key of a state"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    let rows = found.iter().map(|key| state_row(snapshot, key, snapshot.lsn()));
    Ok(rows.collect::<ReadResult<Vec<_>>>()?.into_iter().flatten().collect())
}
