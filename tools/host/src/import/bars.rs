//! `BarGroup`: bars of many files that share a commit.

use std::collections::BTreeMap;

use barkeeper::{CommitError, Store};
use barkeeper_records::{Bar, BarRun, ImportRecord, OnConflict, SeriesKey};

use super::report::ImportReport;
use super::{ReadFile, Stop};

/// Bars of one commit: enough for few, large segments, and about 150 MB of memory.
const GROUP_BARS: usize = 2_000_000;

/// Bars that wait for their commit.
#[derive(Default)]
pub(super) struct BarGroup {
    series: BTreeMap<SeriesKey, Vec<Bar>>,
    records: Vec<ImportRecord>,
    bars: usize,
}

impl BarGroup {
    /// Adds a file, after committing what cannot share a commit with it.
    pub(super) fn add(
        &mut self,
        store: &Store,
        file: ReadFile,
        on_conflict: OnConflict,
        report: &mut ImportReport,
    ) -> Result<(), Stop> {
        let bars: usize = file.parsed.bars.iter().map(|run| run.bars().len()).sum();
        let full = self.bars + bars > GROUP_BARS;
        // Two files that contradict each other: the later one is a conflict with what is stored.
        if full || file.parsed.bars.iter().any(|run| self.contradicts(run)) {
            self.commit(store, on_conflict, report)?;
        }
        for run in &file.parsed.bars {
            self.series.entry(run.series()).or_default().extend_from_slice(run.bars());
        }
        self.bars += bars;
        self.records.push(file.record);
        Ok(())
    }

    fn contradicts(&self, run: &BarRun) -> bool {
        let Some(waiting) = self.series.get(&run.series()) else { return false };
        let newest = waiting.iter().map(|bar| bar.ts).max();
        // Archives of one month each come in order.
        if run.bars().first().map(|bar| bar.ts) > newest {
            return false;
        }
        let both = waiting.iter().chain(run.bars()).copied().collect();
        BarRun::new(run.series(), both).is_err()
    }

    /// Commits what waits.
    pub(super) fn commit(
        &mut self,
        store: &Store,
        on_conflict: OnConflict,
        report: &mut ImportReport,
    ) -> Result<(), Stop> {
        let group = std::mem::take(self);
        if group.records.is_empty() {
            return Ok(());
        }
        let runs: Result<Vec<BarRun>, _> =
            group.series.into_iter().map(|(series, bars)| BarRun::new(series, bars)).collect();
        let runs = runs.map_err(|(_, error)| CommitError::Bar(error))?;
        let sources: Vec<String> = group.records.iter().map(|record| record.source.clone()).collect();
        let receipt = store.import_bars(runs, group.records, on_conflict)?;
        for source in &sources {
            report.took(source);
        }
        report.bars.inserted += receipt.inserted;
        report.bars.unchanged += receipt.unchanged;
        report.bars.replaced += receipt.replaced;
        report.bars.kept += receipt.kept;
        report.committed(receipt.lsn, receipt.inserted + receipt.replaced > 0);
        Ok(())
    }
}
