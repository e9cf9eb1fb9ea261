//! Changes of bucket digests, gathered while a batch is evaluated.

use std::collections::HashMap;

use barkeeper_records::{Bucket, Digest, Lsn};
use barkeeper_storage::{DigestV1, keys};

use crate::error::ReadResult;
use crate::tables::Tab;
use crate::view::{Staged, View};

/// What a batch adds to and takes from each bucket.
#[derive(Debug, Default)]
pub(crate) struct DigestChanges(HashMap<Bucket, Digest>);

impl DigestChanges {
    pub(crate) fn add(&mut self, bucket: Bucket, row_hash: i64) {
        self.0.entry(bucket).or_default().add(row_hash);
    }

    pub(crate) fn remove(&mut self, bucket: Bucket, row_hash: i64) {
        self.0.entry(bucket).or_default().remove(row_hash);
    }

    /// Adds a whole digest of rows to a bucket.
    pub(crate) fn merge(&mut self, bucket: Bucket, digest: &Digest) {
        self.0.entry(bucket).or_default().merge(digest);
    }

    /// Notes that a bucket was touched though its live rows are the same.
    pub(crate) fn touch(&mut self, bucket: Bucket) {
        self.0.entry(bucket).or_default();
    }

    /// Writes the changed digests under the commit's LSN.
    pub(crate) fn apply(self, staged: &mut Staged<'_, '_>, lsn: Lsn) -> ReadResult<()> {
        for (bucket, change) in self.0 {
            let key = keys::bucket(&bucket);
            let mut digest =
                staged.row::<DigestV1>(Tab::Digests, &key)?.map_or_else(Digest::default, |d| d.read().0);
            digest.merge(&change);
            staged.put_row(Tab::Digests, key, &DigestV1::of(&digest, lsn));
        }
        Ok(())
    }
}
