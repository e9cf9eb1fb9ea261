//! `Adjuster`: batches of bars adjusted by the corporate actions of their instruments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch};
use barkeeper_records::{
    Adjustment, AdjustmentTag, Direction, Factors, InstrumentId, Interval, SeriesKey, TradingDay,
};

use crate::error::{ReadResult, scan_error};
use crate::snapshot::Snapshot;

/// The columns that are scaled by the price.
const PRICES: [&str; 4] = ["open", "high", "low", "close"];
/// The column that may be scaled by the number of shares.
const VOLUME: &str = "volume";

/// What adjusting needs to know of a row.
pub(super) const NEEDS: [&str; 2] = ["instrument", "trading_day"];

/// Adjusts the batches of one scan.
pub(super) struct Adjuster<'a> {
    snapshot: &'a Snapshot,
    kind: (Interval, AdjustmentTag),
    adjustment: Adjustment,
    /// The instruments that have corporate actions at all.
    touched: HashSet<InstrumentId>,
    /// Of the names of the dictionary, by their place.
    factors: HashMap<i32, Option<Factors>>,
}

impl<'a> Adjuster<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        kind: (Interval, AdjustmentTag),
        adjustment: Adjustment,
    ) -> ReadResult<Self> {
        let touched = if adjustment.direction == Direction::None {
            HashSet::new()
        } else {
            snapshot.all_factor_events()?.into_iter().map(|event| event.instrument).collect()
        };
        Ok(Self { snapshot, kind, adjustment, touched, factors: HashMap::new() })
    }

    /// The batch with its prices adjusted. Rows that `as_of` hides are still there.
    pub(super) fn apply(&mut self, batch: RecordBatch) -> ReadResult<RecordBatch> {
        if self.adjustment.direction == Direction::None {
            return Ok(batch);
        }
        let missing = || scan_error("a column is missing");
        let names = batch.column_by_name("instrument").ok_or_else(missing)?;
        let names = names.as_dictionary_opt::<Int32Type>().ok_or_else(missing)?;
        let texts = names.values().as_string_opt::<i32>().ok_or_else(missing)?;
        let days = batch.column_by_name("trading_day").ok_or_else(missing)?;
        let days = days.as_primitive_opt::<Date32Type>().ok_or_else(missing)?.values();
        let keys = names.keys().values();
        let mut changed = false;
        let mut scales = Vec::with_capacity(keys.len());
        let mut rows = keys.iter().zip(days.iter()).peekable();
        while let Some((key, _)) = rows.peek().copied() {
            let name =
                usize::try_from(*key).ok().filter(|key| *key < texts.len()).map(|key| texts.value(key));
            self.learn(*key, name.ok_or_else(missing)?)?;
            let factors = self.factors.get(key).and_then(Option::as_ref);
            let scale = factors.map(|factors| factors.scale(self.adjustment));
            while let Some((_, day)) = rows.next_if(|(next, _)| *next == key) {
                scales.push(match (&scale, TradingDay::from_days(*day)) {
                    (Some(scale), Some(day)) => scale(day),
                    (None, _) => (1.0, 1.0),
                    (_, None) => return Err(scan_error("a trading day is out of range")),
                });
            }
            changed |= factors.is_some();
        }
        if !changed {
            return Ok(batch);
        }
        let schema = batch.schema();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            let price = PRICES.contains(&field.name().as_str());
            if !price && field.name() != VOLUME {
                continue;
            }
            let numbers = column.as_primitive_opt::<Float64Type>().ok_or_else(missing)?.values();
            let scaled = numbers
                .iter()
                .zip(&scales)
                .map(|(number, (by_price, by_shares))| number * if price { by_price } else { by_shares });
            *column = Arc::new(Float64Array::from_iter_values(scaled));
        }
        RecordBatch::try_new(schema, columns).map_err(|error| scan_error(&error.to_string()))
    }

    /// Looks up the corporate actions of an instrument, once.
    fn learn(&mut self, key: i32, name: &str) -> ReadResult<()> {
        if self.factors.contains_key(&key) {
            return Ok(());
        }
        let instrument: InstrumentId =
            name.parse().map_err(|_| scan_error(&format!("'{name}' is no instrument")))?;
        let series = SeriesKey { interval: self.kind.0, adjustment: self.kind.1, instrument };
        Snapshot::adjustable(&series, self.adjustment)?;
        let factors = if self.touched.contains(&instrument) {
            Some(self.snapshot.factors(&series, self.adjustment.as_of)?)
        } else {
            None
        };
        self.factors.insert(key, factors);
        Ok(())
    }
}
