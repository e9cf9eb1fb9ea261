//! One bucket, row by row: store and target read side by side in the order of keys.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use barkeeper_records::{Bucket, ChangeFeed, Digest, Row, Table, Value};
use barkeeper_storage::{row_hash, rowview};

use crate::check::CheckError;
use crate::keys::{compare_keys, is_possible, page_rows};
use crate::report::{Difference, DifferenceKind};
use crate::sink::{Content, RemoteRow, Sink};

/// What reading a bucket of the target told.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The digest of what the columns really hold.
    pub(crate) digest: Digest,
    /// Whether every stored hash is that of its columns.
    pub(crate) sound: bool,
}

/// Hashes every row of a bucket at the target anew.
pub(crate) fn read_there(
    sink: &mut dyn Sink,
    bucket: &Bucket,
    stop: &AtomicBool,
) -> Result<Reading, CheckError> {
    let mut reading = Reading { digest: Digest::default(), sound: true };
    let mut there = Side::there(bucket);
    while let Some(row) =
        there.next(stop, |bucket, after| Ok(sink.rows(bucket, after, page_rows(bucket.table))?))?
    {
        match &row.content {
            Content::Live(values) => {
                let hash = row_hash(bucket.table, &row.key, values);
                reading.digest.add(hash);
                reading.sound &= hash == row.row_hash;
            }
            Content::Foreign { .. } => reading.sound = false,
            Content::Tombstone => {}
        }
    }
    Ok(reading)
}

/// Finds every row of a bucket that differs, in the order of keys; answers how many rows of other
/// desktops the target has besides.
pub(crate) fn compare<E: From<CheckError>>(
    feed: &dyn ChangeFeed,
    sink: &mut dyn Sink,
    bucket: &Bucket,
    others: &[u16],
    stop: &AtomicBool,
    found: &mut dyn FnMut(&mut dyn Sink, Difference) -> Result<(), E>,
) -> Result<u64, E> {
    let mut here = Side::here(bucket);
    let mut there = Side::there(bucket);
    let mut next_here = || here.next(stop, |bucket, after| fetch_here(feed, bucket, after));
    let mut next_there = |sink: &mut dyn Sink| {
        there.next(stop, |bucket, after| Ok(sink.rows(bucket, after, page_rows(bucket.table))?))
    };
    let mut of_others = 0;
    let (mut left, mut right) = (next_here()?, next_there(sink)?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(of_others),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => compare_keys(&left.key, &right.key),
        };
        let local = if order.is_le() { std::mem::replace(&mut left, next_here()?) } else { None };
        let remote = if order.is_ge() { std::mem::replace(&mut right, next_there(sink)?) } else { None };
        let local = match (local, &remote) {
            // The row may stand in another bucket, or be a tombstone whose bucket is not known.
            (None, Some(remote)) if remote.content != Content::Tombstone => {
                look_up(feed, bucket, &remote.key)?
            }
            (local, _) => local,
        };
        match judge(bucket, local.as_ref(), remote.as_ref(), others) {
            Judgement::Agree => {}
            Judgement::OfOthers => of_others += 1,
            Judgement::Differ(kind) => {
                let key = local.as_ref().map(|row| row.key.clone());
                let key = key.or_else(|| remote.as_ref().map(|row| row.key.clone())).unwrap_or_default();
                let difference = Difference { bucket: bucket.clone(), kind, key, here: local, there: remote };
                found(sink, difference)?;
            }
        }
    }
}

fn look_up(feed: &dyn ChangeFeed, bucket: &Bucket, key: &[Value]) -> Result<Option<Row>, CheckError> {
    if !is_possible(bucket.table, key) {
        return Ok(None);
    }
    Ok(feed.rows(bucket.table, &[key.to_vec()])?.into_iter().next().flatten())
}

enum Judgement {
    Agree,
    OfOthers,
    Differ(DifferenceKind),
}

fn judge(bucket: &Bucket, local: Option<&Row>, remote: Option<&RemoteRow>, others: &[u16]) -> Judgement {
    let live = local.filter(|row| !row.deleted);
    let Some(remote) = remote else {
        return live.map_or(Judgement::Agree, |_| Judgement::Differ(DifferenceKind::MissingThere));
    };
    let hash = match &remote.content {
        Content::Live(values) | Content::Foreign { values, .. } => {
            Some(row_hash(bucket.table, &remote.key, values))
        }
        Content::Tombstone => None,
    };
    let is_sound = match &remote.content {
        Content::Live(_) => hash == Some(remote.row_hash),
        Content::Tombstone => true,
        Content::Foreign { .. } => false,
    };
    if live.map(|row| row.row_hash) == hash {
        if is_sound {
            return Judgement::Agree;
        }
        let is_derived = matches!(&remote.content, Content::Foreign { column, .. } if *column != "version");
        if is_derived && hash == Some(remote.row_hash) {
            return Judgement::Differ(DifferenceKind::Derived);
        }
    }
    let order = local.map(|row| remote.version.cmp(&row.version));
    if order.is_none_or(Ordering::is_gt) && others.contains(&remote.version.device()) {
        return if is_sound { Judgement::OfOthers } else { Judgement::Differ(DifferenceKind::OtherDevice) };
    }
    Judgement::Differ(match order {
        None => DifferenceKind::ExtraThere,
        Some(Ordering::Less) => DifferenceKind::OlderThere,
        Some(Ordering::Greater) => DifferenceKind::NewerThere,
        Some(Ordering::Equal) => DifferenceKind::SameVersionOtherContent,
    })
}

/// One side of a comparison, read page by page.
struct Side<'a, R> {
    bucket: &'a Bucket,
    name: &'static str,
    key: fn(&R) -> &[Value],
    page: VecDeque<R>,
    last: Option<Vec<Value>>,
    ended: bool,
}

impl<'a> Side<'a, Row> {
    fn here(bucket: &'a Bucket) -> Self {
        Self::new(bucket, "the store", |row| &row.key)
    }
}

impl<'a> Side<'a, RemoteRow> {
    fn there(bucket: &'a Bucket) -> Self {
        Self::new(bucket, "the target", |row| &row.key)
    }
}

impl<'a, R> Side<'a, R> {
    fn new(bucket: &'a Bucket, name: &'static str, key: fn(&R) -> &[Value]) -> Self {
        Self { bucket, name, key, page: VecDeque::new(), last: None, ended: false }
    }

    fn next(
        &mut self,
        stop: &AtomicBool,
        fetch: impl FnOnce(&Bucket, Option<&[Value]>) -> Result<Vec<R>, CheckError>,
    ) -> Result<Option<R>, CheckError> {
        if self.page.is_empty() && !self.ended {
            if stop.load(Relaxed) {
                return Err(CheckError::Stopped);
            }
            let page = fetch(self.bucket, self.last.as_deref())?;
            let mut last = self.last.as_deref();
            for row in &page {
                let key = (self.key)(row);
                if last.is_some_and(|last| compare_keys(last, key).is_ge()) {
                    return Err(CheckError::Order { side: self.name, bucket: self.bucket.clone() });
                }
                last = Some(key);
            }
            self.last = last.map(<[Value]>::to_vec);
            self.ended = page.len() < page_rows(self.bucket.table);
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}

fn fetch_here(
    feed: &dyn ChangeFeed,
    bucket: &Bucket,
    after: Option<&[Value]>,
) -> Result<Vec<Row>, CheckError> {
    // The store has no rows where it could have made no key; it need not be asked about such a group.
    if bucket.table == Table::Bars && rowview::bar_group_parts(&bucket.group).is_none() {
        return Ok(Vec::new());
    }
    Ok(feed.bucket_rows(bucket, after, page_rows(bucket.table))?)
}
