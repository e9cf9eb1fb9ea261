//! What a store holds in numbers: the live rows of each dataset and their digest.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use barkeeper_records::{Bucket, Digest, Table};
use barkeeper_storage::{DigestV1, StoredRow, keys};

use crate::error::{ReadResult, missing};
use crate::snapshot::Snapshot;
use crate::tables::Tab;
use crate::view::View;

/// The dataset of a bucket: `bars 1d/raw`, `trades`, `positions`, ...
fn dataset_of(bucket: &Bucket) -> String {
    let table = bucket.table.schema().name;
    let table = table.strip_prefix("bk_").unwrap_or(table);
    match bucket.table {
        Table::Bars => {
            let kind = bucket.group.rsplit_once('/').map_or(bucket.group.as_str(), |(kind, _)| kind);
            format!("{table} {kind}")
        }
        _ => table.to_owned(),
    }
}

impl Snapshot {
    /// The live rows of each dataset: how many, and the digest of all of them, hot and sealed.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Value`.
    pub fn datasets(&self) -> ReadResult<BTreeMap<String, Digest>> {
        let mut all: BTreeMap<String, Digest> = BTreeMap::new();
        self.view().scan_prefix(Tab::Digests, &[], &mut |key, value| {
            let bucket = keys::read_bucket(key).ok_or_else(|| missing("bucket key"))?;
            all.entry(dataset_of(&bucket)).or_default().merge(&DigestV1::from_bytes(key, value)?.read().0);
            Ok(ControlFlow::Continue(()))
        })?;
        all.retain(|_, digest| digest.count > 0);
        Ok(all)
    }
}
