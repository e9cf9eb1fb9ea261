//! `Books`: positions and trade logs, committed a folder at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barkeeper::{Snapshot, Store};
use barkeeper_records::{Batch, Operation, Outcome, Position, PositionStatus, limits};
use barkeeper_sources::{Parsed, merge_positions};

use super::report::{ImportReport, Note, rejected};
use super::{ReadFile, Stop};

/// State files that wait for their commit, by folder.
#[derive(Default)]
pub(super) struct Books {
    folders: BTreeMap<PathBuf, Vec<ReadFile>>,
}

impl Books {
    pub(super) fn add(&mut self, file: ReadFile) {
        let folder = file.path.parent().map(PathBuf::from).unwrap_or_default();
        self.folders.entry(folder).or_default().push(file);
    }

    /// Commits each folder: positions, extremes, the day of the last increment and the trade log together.
    pub(super) fn commit(self, store: &Store, report: &mut ImportReport) -> Result<(), Stop> {
        for (folder, files) in self.folders {
            commit_folder(store, &folder, files, report)?;
        }
        Ok(())
    }
}

fn commit_folder(
    store: &Store,
    folder: &std::path::Path,
    files: Vec<ReadFile>,
    report: &mut ImportReport,
) -> Result<(), Stop> {
    let (mut parts, mut records): (Vec<Parsed>, Vec<_>) = (Vec::new(), Vec::new());
    for file in files {
        parts.push(file.parsed);
        records.push(file.record);
    }
    let merged = merge_positions(&parts);
    report.rejected.extend(merged.rejected.iter().map(|row| rejected(&folder.join(&row.file), row)));
    let notes = merged.notes.into_iter().map(|text| Note { file: folder.to_owned(), text });
    report.notes.extend(notes);

    let snapshot = store.snapshot()?;
    let mut operations: Vec<Operation> =
        parts.into_iter().flat_map(|part| part.trades).map(Operation::RecordTrade).collect();
    for position in merged.positions {
        operations.push(Operation::SetPosition(with_stored(&snapshot, position)?));
    }
    let days = merged.incremented_on.into_iter();
    operations.extend(days.map(|(account, book, day)| Operation::SetIncrementedOn { account, book, day }));
    drop(snapshot);
    let sources: Vec<String> = records.iter().map(|record| record.source.clone()).collect();
    operations.extend(records.into_iter().map(Operation::RecordImport));

    // Only a log of more than 100,000 lines needs a second commit; every line has an id of its own, so
    // the rest comes in when the import is run again.
    while !operations.is_empty() {
        let behind = operations.split_off(operations.len().min(limits::BATCH_OPERATIONS));
        let batch = Batch { operations: std::mem::replace(&mut operations, behind), ..Batch::new() };
        commit(store, batch, report)?;
    }
    for source in &sources {
        report.took(source);
    }
    Ok(())
}

fn commit(store: &Store, batch: Batch, report: &mut ImportReport) -> Result<(), Stop> {
    let kinds: Vec<Kind> = batch.operations.iter().map(kind).collect();
    let receipt = store.commit(batch)?;
    for (kind, outcome) in kinds.iter().zip(&receipt.outcomes) {
        let new = *outcome == Outcome::Done;
        match kind {
            Kind::Trade if new => report.trades.recorded += 1,
            Kind::Trade => report.trades.known += 1,
            Kind::Position if new => report.positions.set += 1,
            Kind::Position => report.positions.unchanged += 1,
            Kind::Other => {}
        }
    }
    report.committed(receipt.lsn, receipt.changed);
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Trade,
    Position,
    Other,
}

fn kind(operation: &Operation) -> Kind {
    match operation {
        Operation::RecordTrade(_) => Kind::Trade,
        Operation::SetPosition(_) => Kind::Position,
        _ => Kind::Other,
    }
}

/// What the files do not tell of an open position stays as it is stored: quantity, cost, day of the entry.
fn with_stored(snapshot: &Snapshot, mut position: Position) -> Result<Position, Stop> {
    if position.status == PositionStatus::Closed {
        return Ok(position);
    }
    let Some(stored) = snapshot.position(&position.key)? else { return Ok(position) };
    if stored.status == PositionStatus::Open {
        position.held_days = position.held_days.or(stored.held_days);
        position.highest = position.highest.or(stored.highest);
        if position.lowest.is_none() {
            position.lowest = stored.lowest;
            position.lowest_trusted = stored.lowest_trusted;
        }
        position.quantity = position.quantity.or(stored.quantity);
        position.cost = position.cost.or(stored.cost);
        position.opened_on = position.opened_on.or(stored.opened_on);
    }
    Ok(position)
}
