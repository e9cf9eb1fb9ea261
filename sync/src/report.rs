//! What a comparison found.

use barkeeper_records::{Bucket, Row, Table, Version};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::json;
use crate::sink::RemoteRow;

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every bucket agrees.
    Agree,
    /// At least one row differs.
    Differ,
    /// No difference was found, but not everything could be compared.
    CouldNotTell,
}

impl Verdict {
    /// What a program that compares exits with: 0, 1 or 5.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Agree => 0,
            Self::Differ => 1,
            Self::CouldNotTell => 5,
        }
    }
}

/// How a row at a target differs from the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The store has it, the target does not.
    MissingThere,
    /// The target has it, the store does not.
    ExtraThere,
    /// The target's version is lower.
    OlderThere,
    /// The target's version is higher.
    NewerThere,
    /// The same version with other content: somebody edited it there, or bits rotted.
    SameVersionOtherContent,
    /// Only a column that is computed from the others is wrong.
    Derived,
    /// A row of another desktop whose columns do not fit its hash: that desktop can mend it.
    OtherDevice,
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where it was found.
    pub bucket: Bucket,
    /// How it differs.
    pub kind: DifferenceKind,
    /// The key.
    pub key: Vec<barkeeper_records::Value>,
    /// The store's row.
    pub here: Option<Row>,
    /// The target's row.
    pub there: Option<RemoteRow>,
}

impl Difference {
    /// Which table.
    pub const fn table(&self) -> Table {
        self.bucket.table
    }

    /// Whether the target holds something that exists nowhere else and that mending takes away.
    pub(crate) const fn loses(&self) -> bool {
        matches!(
            self.kind,
            DifferenceKind::ExtraThere | DifferenceKind::NewerThere | DifferenceKind::SameVersionOtherContent
        )
    }

    /// The version at the target; `ZERO` where it has no row.
    pub(crate) fn version_there(&self) -> Version {
        self.there.as_ref().map_or(Version::ZERO, |row| row.version)
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = self.table();
        let mut object = serializer.serialize_struct("Difference", 5)?;
        object.serialize_field("table", table.schema().name)?;
        object.serialize_field("kind", &self.kind)?;
        object.serialize_field("key", &json::key(table, &self.key))?;
        object.serialize_field("here", &self.here.as_ref().map(json::row))?;
        object.serialize_field("there", &self.there.as_ref().map(|row| json::remote(table, row)))?;
        object.end()
    }
}

/// How many rows differ in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KindCounts {
    /// [`DifferenceKind::MissingThere`].
    pub missing_there: u64,
    /// [`DifferenceKind::ExtraThere`].
    pub extra_there: u64,
    /// [`DifferenceKind::OlderThere`].
    pub older_there: u64,
    /// [`DifferenceKind::NewerThere`].
    pub newer_there: u64,
    /// [`DifferenceKind::SameVersionOtherContent`].
    pub same_version_other_content: u64,
    /// [`DifferenceKind::Derived`].
    pub derived: u64,
    /// [`DifferenceKind::OtherDevice`].
    pub other_device: u64,
}

impl KindCounts {
    /// Counts one.
    pub const fn note(&mut self, kind: DifferenceKind) {
        let count = match kind {
            DifferenceKind::MissingThere => &mut self.missing_there,
            DifferenceKind::ExtraThere => &mut self.extra_there,
            DifferenceKind::OlderThere => &mut self.older_there,
            DifferenceKind::NewerThere => &mut self.newer_there,
            DifferenceKind::SameVersionOtherContent => &mut self.same_version_other_content,
            DifferenceKind::Derived => &mut self.derived,
            DifferenceKind::OtherDevice => &mut self.other_device,
        };
        *count += 1;
    }

    /// Adds other counts.
    pub const fn add(&mut self, other: &Self) {
        self.missing_there += other.missing_there;
        self.extra_there += other.extra_there;
        self.older_there += other.older_there;
        self.newer_there += other.newer_there;
        self.same_version_other_content += other.same_version_other_content;
        self.derived += other.derived;
        self.other_device += other.other_device;
    }

    /// All together.
    pub const fn total(&self) -> u64 {
        self.missing_there
            + self.extra_there
            + self.older_there
            + self.newer_there
            + self.same_version_other_content
            + self.derived
            + self.other_device
    }
}

/// A bucket that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketDifference {
    /// Which.
    #[serde(serialize_with = "json::bucket")]
    pub bucket: Bucket,
    /// Live rows of the store.
    pub rows_here: u64,
    /// Live rows at the target.
    pub rows_there: u64,
    /// What differs.
    pub kinds: KindCounts,
}

impl BucketDifference {
    /// Whether so much differs that a person is asked before it is mended: more than 5 % of a bucket that
    /// has at least 20 rows on one side.
    pub const fn is_large(&self) -> bool {
        let rows = self.size();
        rows >= LARGE_FROM_ROWS && self.kinds.total() * 100 > rows * LARGE_PERCENT
    }

    /// The rows of the fuller side.
    pub const fn size(&self) -> u64 {
        if self.rows_here > self.rows_there { self.rows_here } else { self.rows_there }
    }
}

/// Below this many rows a bucket is mended whatever share of it differs.
const LARGE_FROM_ROWS: u64 = 20;
/// More than this share of a bucket is asked about first.
const LARGE_PERCENT: u64 = 5;

/// Why a bucket could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was written while it was read, each time.
    Changing,
    /// The target has not been brought up to the bucket's last change.
    Behind,
    /// Digests differ and no row does: the store's own digest is wrong.
    LocalDigest,
}

/// A bucket that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsettled {
    /// Which.
    #[serde(serialize_with = "json::bucket")]
    pub bucket: Bucket,
    /// Why.
    pub why: Why,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// In one word.
    pub verdict: Verdict,
    /// Whether the content of every row was read and hashed again.
    pub deep: bool,
    /// Buckets that agree.
    pub agreeing: u64,
    /// Live rows of the store.
    pub rows_here: u64,
    /// Live rows at the target.
    pub rows_there: u64,
    /// Rows at the target that other desktops wrote and this store does not have; no differences.
    pub rows_of_other_devices: u64,
    /// All differences, counted.
    pub kinds: KindCounts,
    /// The buckets that differ.
    pub differing: Vec<BucketDifference>,
    /// The first differences, as many as were asked for.
    pub differences: Vec<Difference>,
    /// The buckets that could not be compared.
    pub unsettled: Vec<Unsettled>,
}
