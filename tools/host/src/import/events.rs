//! Ticks and market trades of a file, committed with it.

use barkeeper::Store;
use barkeeper_records::OnConflict;

use super::report::ImportReport;
use super::{ReadFile, Stop};

/// Whether a file holds ticks or market trades.
pub(super) fn holds_events(file: &ReadFile) -> bool {
    !file.parsed.ticks.is_empty() || !file.parsed.market_trades.is_empty()
}

/// Commits a file of ticks or market trades. Its record goes with the last commit, so that a file that was
/// cut off in between is imported again.
pub(super) fn commit(
    store: &Store,
    file: ReadFile,
    on_conflict: OnConflict,
    report: &mut ImportReport,
) -> Result<(), Stop> {
    let ReadFile { path, parsed, record } = file;
    let source = record.source.clone();
    if let Some((instrument, first)) = parsed.market_trades.first() {
        let stored = store.snapshot()?.last_market_trades(instrument, 1)?;
        if stored.first().is_some_and(|stored| stored.aggregated != first.aggregated) {
            let (here, there) =
                if first.aggregated { ("aggregated", "single") } else { ("single", "aggregated") };
            let text = format!(
                "{instrument} has {there} market trades; {here} ones beside them would count everything twice"
            );
            report.refuse(&path, text);
            return Ok(());
        }
    }
    if !parsed.ticks.is_empty() {
        let records = if parsed.market_trades.is_empty() { vec![record.clone()] } else { Vec::new() };
        let receipt = store.import_ticks(parsed.ticks, records, on_conflict)?;
        report.ticks.add(&receipt);
        report.committed(receipt.lsn, receipt.inserted + receipt.replaced > 0);
    }
    if !parsed.market_trades.is_empty() {
        let receipt = store.import_market_trades(parsed.market_trades, vec![record], on_conflict)?;
        report.market_trades.add(&receipt);
        report.committed(receipt.lsn, receipt.inserted + receipt.replaced > 0);
    }
    report.took(&source);
    Ok(())
}
