//! Digests: what the store keeps, what its rows give, and what the model's rows give must be one.

use std::collections::BTreeMap;

use barkeeper_records::{Bucket, ChangeFeed, Digest, FeedError, Table, Value};
use barkeeper_storage::{row_hash, rowview};

use crate::model::Model;

/// Rows of one page of a bucket; small, so that paging is used.
const PAGE: usize = 37;

/// Digests of buckets that have live rows.
pub type Digests = BTreeMap<Bucket, Digest>;

/// The digests of the model's rows.
pub fn expected(model: &Model) -> Digests {
    let mut found = Digests::new();
    let mut add = |table: Table, group: String, period: i32, key: &[Value], values: &[Value]| {
        found.entry(Bucket { table, group, period }).or_default().add(row_hash(table, key, values));
    };
    for (series, bars) in &model.bars {
        for (ts, (bar, _)) in bars {
            let bucket = rowview::bar_bucket(series, *ts);
            let (key, values) = (rowview::bar_key(series, *ts), rowview::bar_values(bar));
            add(Table::Bars, bucket.group, bucket.period, &key, &values);
        }
    }
    for trade in model.trades.values() {
        let (key, values) = (rowview::trade_key(trade), rowview::trade_values(trade));
        add(Table::Trades, trade.account.to_string(), rowview::period_of(trade.ts), &key, &values);
    }
    for position in model.positions.values() {
        let (key, values) = (rowview::position_key(&position.key), rowview::position_values(position));
        add(Table::Positions, position.key.account.to_string(), 0, &key, &values);
    }
    for ((account, book), day) in &model.books {
        let (key, values) = (rowview::book_key(account, book), rowview::book_values(*day));
        add(Table::Books, account.to_string(), 0, &key, &values);
    }
    for state in model.states.values() {
        let bucket = rowview::strategy_snapshot_bucket(&state.key);
        let (key, values) =
            (rowview::strategy_snapshot_key(&state.key), rowview::strategy_snapshot_values(state));
        add(Table::StrategySnapshots, bucket.group, bucket.period, &key, &values);
    }
    crate::streams::add_digests(model, &mut add);
    found
}

/// The digests that a store keeps.
///
/// # Errors
/// `Store`.
pub fn kept(feed: &dyn ChangeFeed) -> Result<Digests, FeedError> {
    let mut found = Digests::new();
    for table in Table::ALL {
        let all = feed.digests(table)?.into_iter().filter(|one| one.digest != Digest::default());
        found.extend(all.map(|one| (one.bucket, one.digest)));
    }
    Ok(found)
}

/// The digests of the rows that a store ships for each bucket that it knows.
///
/// # Errors
/// `Store`.
pub fn shipped(feed: &dyn ChangeFeed) -> Result<Digests, FeedError> {
    let mut found = Digests::new();
    for table in Table::ALL {
        for one in feed.digests(table)? {
            let mut after: Option<Vec<Value>> = None;
            loop {
                let rows = feed.bucket_rows(&one.bucket, after.as_deref(), PAGE)?;
                for row in rows.iter().filter(|row| !row.deleted) {
                    let hash = row_hash(table, &row.key, &row.values);
                    found.entry(one.bucket.clone()).or_default().add(hash);
                }
                match rows.last() {
                    Some(last) if rows.len() == PAGE => after = Some(last.key.clone()),
                    _ => break,
                }
            }
        }
    }
    Ok(found)
}

/// Holds the digests that a store keeps and those of its rows against the model's.
///
/// # Errors
/// Which bucket differs.
pub fn agree(model: &Model, feed: &dyn ChangeFeed) -> Result<(), String> {
    let expected = expected(model);
    for (what, found) in [("kept", kept(feed)), ("shipped", shipped(feed))] {
        let found = found.map_err(|error| error.to_string())?;
        if found != expected {
            let differs = |bucket: &&Bucket| found.get(bucket) != expected.get(bucket);
            let first = found.keys().chain(expected.keys()).find(differs);
            return Err(format!("the digest {what} for {first:?} is not that of the model's rows"));
        }
    }
    Ok(())
}
