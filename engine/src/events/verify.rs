//! Verifying ticks and market trades: every row is read, digests and statistics are computed anew.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use barkeeper_records::{Bucket, Digest, Timestamp};
use barkeeper_storage::{EventHasher, SegmentEntry, rowview};

use super::Event;
use crate::error::ReadResult;
use crate::snapshot::Snapshot;
use crate::verify::is_finding;

/// Rows of one window.
const WINDOW: usize = 65_536;

impl Snapshot {
    /// Adds the digests of all rows; names streams that cannot be read (damage) or whose statistics do not fit. Answers how many rows there are.
    pub(crate) fn recompute_events<T: Event>(
        &self,
        digests: &mut BTreeMap<Bucket, Digest>,
        found: &mut dyn FnMut(String, String, bool),
    ) -> ReadResult<u64> {
        let mut total = 0;
        for stat in self.event_summaries::<T>()? {
            let (mut count, mut span) = (0, None::<(Timestamp, Timestamp)>);
            let mut hasher = EventHasher::<T>::new(&stat.instrument);
            let walked = self.events().walk::<T>(
                &stat.instrument,
                Timestamp::from_nanos(stat.first.nanos().saturating_sub(86_400_000_000_000)),
                Timestamp::from_nanos(stat.last.nanos().saturating_add(86_400_000_000_000)),
                WINDOW,
                &mut |rows| {
                    for row in &rows {
                        let ts = row.event.place().ts;
                        let bucket = rowview::event_bucket(T::TABLE, &stat.instrument, ts);
                        digests.entry(bucket).or_default().add(hasher.hash(&row.event));
                        span = Some(span.map_or((ts, ts), |(first, _)| (first, ts)));
                    }
                    count += rows.len() as u64;
                    Ok(ControlFlow::Continue(()))
                },
            );
            let place = format!("{} of {}", T::WHAT, stat.instrument);
            match walked {
                Ok(()) => {}
                Err(error) if is_finding(&error) => {
                    found(place, format!("they cannot be read whole: {error}"), true);
                    continue;
                }
                Err(error) => return Err(error),
            }
            if count != stat.count || span != Some((stat.first, stat.last)) {
                let detail = format!(
                    "{count} {} are stored, {} are counted, or the span differs",
                    T::WHAT,
                    stat.count
                );
                found(place, detail, false);
            }
            total += count;
        }
        Ok(total)
    }

    /// The digest of all rows of a segment of events.
    pub(crate) fn digest_of_events<T: Event>(&self, entry: &SegmentEntry) -> ReadResult<Digest> {
        let segment = self.inner().segments.events::<T>(self.view(), entry)?;
        let mut digest = Digest::default();
        for (instrument, run) in segment.index().instruments() {
            let mut hasher = EventHasher::<T>::new(&instrument);
            let end = run.start + u64::from(run.rows);
            let mut start = run.start;
            while start < end {
                let next = end.min(start + WINDOW as u64);
                for row in segment.rows(start..next)? {
                    digest.add(hasher.hash(&row.event));
                }
                start = next;
            }
        }
        Ok(digest)
    }
}
