//! Strategies' saved states: save, remove, read.

use std::ops::ControlFlow;

use barkeeper_records::{
    Outcome, StrategyId, StrategySnapshot, StrategySnapshotError, StrategySnapshotKey, Table, Timestamp,
    Version,
};
use barkeeper_storage::{StoredRow, StrategySnapshotV1, keys, row_hash, rowview};

use crate::error::{CommitResult, ReadResult, missing};
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// The state of a key, `None` for a tombstone, and the row's version.
pub(crate) fn read_state(
    view: &impl View,
    key: &StrategySnapshotKey,
) -> ReadResult<Option<(Option<StrategySnapshot>, Version)>> {
    let row: Option<StrategySnapshotV1> = view.row(Tab::StrategySnapshots, &keys::strategy_snapshot(key))?;
    Ok(row.map(|row| row.read(key.clone())).transpose()?)
}

pub(crate) fn state_hash(state: &StrategySnapshot) -> i64 {
    let key = rowview::strategy_snapshot_key(&state.key);
    row_hash(Table::StrategySnapshots, &key, &rowview::strategy_snapshot_values(state))
}

fn check_json(strategy: &StrategyId, body: &str) -> Result<(), StrategySnapshotError> {
    serde_json::from_str::<serde::de::IgnoredAny>(body).map(drop).map_err(|error| {
        StrategySnapshotError::NotJson { strategy: strategy.clone(), detail: error.to_string() }
    })
}

impl Session<'_, '_> {
    pub(crate) fn save_state(
        &mut self,
        strategy: &StrategyId,
        saved_at: Timestamp,
        schema_version: u32,
        body: &str,
    ) -> CommitResult<Outcome> {
        let key = StrategySnapshotKey { strategy: strategy.clone(), saved_at, sequence: 0 };
        let mut state = StrategySnapshot { key, schema_version, body: body.to_owned() }.born()?;
        check_json(strategy, body)?;
        let mut known = None;
        let prefix = keys::strategy_snapshots_from(strategy, saved_at);
        let mut next = 0;
        self.staged.scan_prefix(Tab::StrategySnapshots, &prefix, &mut |key, value| {
            let key = keys::read_strategy_snapshot(key).ok_or_else(|| missing("key of a state"))?;
            let bytes = keys::strategy_snapshot(&key);
            let (stored, _) = StrategySnapshotV1::from_bytes(&bytes, value)?.read(key.clone())?;
            next = key.sequence.saturating_add(1);
            let same = stored.is_some_and(|s| s.schema_version == schema_version && s.body == body);
            known = known.or(same.then_some(key.sequence));
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(sequence) = known {
            return Ok(Outcome::Saved { sequence, known: true });
        }
        state.key.sequence = next;
        let bytes = keys::strategy_snapshot(&state.key);
        let row = StrategySnapshotV1::of(&state, self.version);
        self.staged.put_row(Tab::StrategySnapshots, bytes.clone(), &row);
        self.digests.add(rowview::strategy_snapshot_bucket(&state.key), state_hash(&state));
        self.log_key(Table::StrategySnapshots, bytes);
        Ok(Outcome::Saved { sequence: next, known: false })
    }

    pub(crate) fn delete_state(&mut self, key: &StrategySnapshotKey) -> CommitResult<Outcome> {
        let Some((Some(state), _)) = read_state(&self.staged, key)? else { return Ok(Outcome::Unchanged) };
        self.digests.remove(rowview::strategy_snapshot_bucket(key), state_hash(&state));
        self.bury_state(key);
        Ok(Outcome::Done)
    }

    /// Gives a state, or its tombstone, a new version without changing it.
    pub(crate) fn stamp_state(&mut self, key: &StrategySnapshotKey) -> CommitResult<()> {
        if let Some((Some(state), _)) = read_state(&self.staged, key)? {
            let bytes = keys::strategy_snapshot(key);
            let row = StrategySnapshotV1::of(&state, self.version);
            self.staged.put_row(Tab::StrategySnapshots, bytes.clone(), &row);
            self.log_key(Table::StrategySnapshots, bytes);
        } else {
            self.bury_state(key);
        }
        self.digests.touch(rowview::strategy_snapshot_bucket(key));
        Ok(())
    }

    fn bury_state(&mut self, key: &StrategySnapshotKey) {
        let bytes = keys::strategy_snapshot(key);
        let row = StrategySnapshotV1::tombstone(self.version);
        self.staged.put_row(Tab::StrategySnapshots, bytes.clone(), &row);
        self.log_key(Table::StrategySnapshots, bytes);
    }
}

impl Snapshot {
    /// The newest state of a strategy; with `at`, the newest that was saved then or before.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn strategy_snapshot(
        &self,
        strategy: &StrategyId,
        at: Option<Timestamp>,
    ) -> ReadResult<Option<StrategySnapshot>> {
        let mut found = None;
        self.visit_states(strategy, None, at, &mut |state| {
            found = Some(state);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The states of a strategy from `from` to `to`, both included, newest first, at most `limit`.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn strategy_snapshots(
        &self,
        strategy: &StrategyId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: usize,
    ) -> ReadResult<Vec<StrategySnapshot>> {
        let mut found = Vec::new();
        if limit > 0 {
            self.visit_states(strategy, from, to, &mut |state| {
                found.push(state);
                if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(found)
    }

    /// All strategies that have ever saved a state, in the order of their names.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn strategies_with_snapshots(&self) -> ReadResult<Vec<StrategyId>> {
        let mut found = Vec::new();
        let mut from = Vec::new();
        loop {
            let mut next = None;
            self.view().scan(Tab::StrategySnapshots, &from, &[], false, &mut |key, _| {
                next = keys::read_strategy_snapshot(key).map(|key| key.strategy);
                if next.is_none() { Err(missing("key of a state")) } else { Ok(ControlFlow::Break(())) }
            })?;
            let Some(strategy) = next else { return Ok(found) };
            from = keys::after_prefix(&keys::strategy_snapshots(&strategy));
            found.push(strategy);
        }
    }

    fn visit_states(
        &self,
        strategy: &StrategyId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        visit: &mut dyn FnMut(StrategySnapshot) -> ControlFlow<()>,
    ) -> ReadResult<()> {
        let whole = keys::strategy_snapshots(strategy);
        let start = from.map_or_else(|| whole.clone(), |from| keys::strategy_snapshots_from(strategy, from));
        let end = keys::after_prefix(
            &to.map_or_else(|| whole.clone(), |to| keys::strategy_snapshots_from(strategy, to)),
        );
        self.view().scan(Tab::StrategySnapshots, &start, &end, true, &mut |key, value| {
            let row = StrategySnapshotV1::from_bytes(key, value)?;
            let key = keys::read_strategy_snapshot(key).ok_or_else(|| missing("key of a state"))?;
            Ok(row.read(key)?.0.map_or(ControlFlow::Continue(()), &mut *visit))
        })
    }
}
