//! What merging leaves for a while: which merge took which segments out of the manifest, and until when
//! it can be undone.

use barkeeper_records::Timestamp;
use bincode::{Decode, Encode};

use crate::envelope::{Damage, StoredRow};
use crate::manifest::{SegmentEntry, SegmentV1};

/// A segment that has left the manifest and waits in the trash; its id stands in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RetiredV1 {
    entry: SegmentV1,
    generation: u64,
    until_ms: i64,
}

impl StoredRow for RetiredV1 {
    const WHAT: &'static str = "retired segment";
    const KIND: u8 = 30;
}

/// What the row of a retired segment says.
#[derive(Debug, Clone, PartialEq)]
pub struct RetiredSegment {
    /// Its entry, as it stood in the manifest.
    pub entry: SegmentEntry,
    /// The first generation of the manifest that does not name it.
    pub generation: u64,
    /// Its file stays at least until then.
    pub until: Timestamp,
}

impl RetiredV1 {
    /// The row of a retired segment.
    pub fn of(retired: &RetiredSegment) -> Self {
        let RetiredSegment { entry, generation, until } = retired;
        Self { entry: SegmentV1::of(entry), generation: *generation, until_ms: until.millis() }
    }

    /// The retired segment of an id.
    ///
    /// # Errors
    /// `Layout` for a value that no retired segment has.
    pub fn read(&self, id: u128) -> Result<RetiredSegment, Damage> {
        let until = Timestamp::from_millis(self.until_ms)
            .ok_or(Damage::Layout { what: Self::WHAT, detail: "until_ms" })?;
        Ok(RetiredSegment { entry: self.entry.read(id)?, generation: self.generation, until })
    }
}

/// A merge that can be undone, or that was; the generation of the manifest that it made stands in the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MergeV1 {
    /// When it was done, in milliseconds since 1970.
    pub merged_ms: i64,
    /// Until when it can be undone, in milliseconds since 1970.
    pub until_ms: i64,
    /// Whether it was undone: its inputs are live again and are not merged by themselves before `until_ms`.
    pub undone: bool,
    /// Ids of the segments that left the manifest.
    pub inputs: Vec<u128>,
    /// Ids of the segments that came for them; none where every row was removed.
    pub outputs: Vec<u128>,
    /// Rows of the inputs, on one axis, that a higher version of the inputs replaced.
    pub superseded: u64,
    /// Rows of the inputs, on one axis, that a range tombstone hid.
    pub removed: u64,
}

impl StoredRow for MergeV1 {
    const WHAT: &'static str = "merge";
    const KIND: u8 = 31;
}
