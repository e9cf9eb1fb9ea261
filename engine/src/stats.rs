//! Sizes and counts of a store.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::PoisonError;

use barkeeper_records::{AdjustmentTag, Lsn, MarketTrade, Tick};
use barkeeper_storage::{ChunkView, keys};

use crate::error::{MaintenanceError, ReadResult, missing};
use crate::folder::{self, STAGING, TRASH};
use crate::report::StoreStats;
use crate::session::read_head;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::Tab;
use crate::view::View;

/// Bytes of the files of a folder. What is moved or deleted while they are counted is not there.
pub(crate) fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let Some(entries) = unless_gone(fs::read_dir(dir))? else { return Ok(0) };
    for entry in entries {
        let Some(data) = unless_gone(entry?.metadata())? else { continue };
        sum += if data.is_file() { data.len() } else { 0 };
    }
    Ok(sum)
}

fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Snapshot {
    fn count_of(&self, tab: Tab) -> ReadResult<u64> {
        let mut count = 0;
        self.view().scan_prefix(tab, &[], &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    pub(crate) fn hot_bars(&self) -> ReadResult<u64> {
        let mut count = self.count_of(Tab::Delta)?;
        self.view().scan_prefix(Tab::Slabs, &[], &mut |key, value| {
            let (_, _, ts, _) = keys::read_chunk(key).ok_or_else(|| missing("chunk key"))?;
            count += ChunkView::read(key, ts, value)?.len() as u64;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }
}

impl Store {
    /// Sizes and counts, of one snapshot.
    ///
    /// # Errors
    /// `Read`, `Io`.
    pub fn stats(&self) -> Result<StoreStats, MaintenanceError> {
        let inner = self.inner();
        let snapshots = inner.readers.list(inner.options.clock.steady());
        let snapshot = Snapshot::take(inner)?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| MaintenanceError::Io { path, source }
        };
        let head = read_head(snapshot.view())?;
        let manifest = inner.segments.manifest(snapshot.view())?;
        let series = snapshot.all_series(None, None::<AdjustmentTag>)?;
        let file = self.folder().join(folder::DATABASE);
        let mut garbage = 0;
        for part in [STAGING, TRASH] {
            let part = self.folder().join(part);
            garbage += bytes_below(&part).map_err(io(&part))?;
        }
        let targets = inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let targets = targets.acknowledged.iter().map(|(name, lsn)| (name.clone(), *lsn)).collect();
        Ok(StoreStats {
            folder: self.folder().to_owned(),
            store_id: format!("{:032x}", inner.identity.store_id),
            device: inner.identity.device,
            lsn: snapshot.lsn(),
            writes: inner.write_state(),
            hot_bytes: fs::metadata(&file).map_or(0, |data| data.len()),
            hot_bars: snapshot.hot_bars()?,
            bars: series.iter().map(|one| one.count).sum(),
            series: series.len() as u64,
            segments: manifest.entries.len() as u64,
            segment_bytes: manifest.entries.iter().map(|entry| entry.bytes).sum(),
            garbage_bytes: garbage,
            trades: snapshot.count_of(Tab::Trades)?,
            positions: snapshot.all_positions(true)?.len() as u64,
            revisions: snapshot.count_of(Tab::Revisions)?,
            ticks: snapshot.all_ticks()?.iter().map(|one| one.count).sum(),
            market_trades: snapshot.all_market_trades()?.iter().map(|one| one.count).sum(),
            hot_events: snapshot.hot_events::<Tick>()? + snapshot.hot_events::<MarketTrade>()?,
            factors: snapshot.all_factor_events()?.len() as u64,
            log_tail: Lsn(head.tail),
            log_bytes: head.log_bytes,
            targets,
            snapshots,
            space: self.space()?,
            maintenance_error: inner.upkeep.error(),
            books: snapshot.books()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn files_that_go_while_they_are_counted_are_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    for name in ["a", "b", "c", "d"] {
                        fs::write(dir.path().join(name), "staged").unwrap();
                    }
                    for name in ["a", "b", "c", "d"] {
                        fs::remove_file(dir.path().join(name)).unwrap();
                    }
                }
            });
            let counted: Vec<io::Result<u64>> = (0..5_000).map(|_| bytes_below(dir.path())).collect();
            ended.store(true, Ordering::Relaxed);
            for bytes in counted {
                assert!(bytes.unwrap() <= 24);
            }
        });
        assert_eq!(bytes_below(&dir.path().join("gone")).unwrap(), 0);
    }
}
