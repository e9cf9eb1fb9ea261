//! Columns of a segment as Arrow record batches.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int32DictionaryArray, RecordBatch, RecordBatchOptions,
    StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use barkeeper_records::{Bar, InstrumentId, Version};

use crate::segment::{INSTRUMENT, Segment, TRADING_DAY, TS, VERSION};
use crate::verified::SegmentError;

fn schema() -> Schema {
    let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields = vec![
        Field::new("instrument", names, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("trading_day", DataType::Date32, false),
    ];
    fields.extend(Bar::NUMBERS.map(|name| Field::new(name, DataType::Float64, false)));
    fields.push(Field::new("version", DataType::UInt64, false));
    Schema::new(fields)
}

impl Segment {
    /// Reads columns of a range of rows, in the order asked for. The places are those of the file: 0
    /// `instrument` (as a dictionary), 1 `ts`, 2 `trading_day`, 3 to 9 the numbers, 10 `version`, which
    /// is there for every segment.
    ///
    /// # Errors
    /// `Io`, `Damaged`; `Damaged` also for rows and columns that the segment does not have.
    pub fn read_batch(&self, rows: Range<u64>, columns: &[usize]) -> Result<RecordBatch, SegmentError> {
        let schema = schema().project(columns).map_err(|e| self.damaged(&e.to_string()))?;
        let count = self.count(&rows)?;
        let arrays = columns.iter().map(|place| self.array(*place, rows.clone(), count));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)
            .map_err(|e| self.damaged(&e.to_string()))
    }

    fn array(&self, place: usize, rows: Range<u64>, count: usize) -> Result<ArrayRef, SegmentError> {
        Ok(match place {
            INSTRUMENT => self.dictionary(rows, count)?,
            TS => Arc::new(TimestampNanosecondArray::from(self.read_ts(rows)?).with_timezone("UTC")),
            TRADING_DAY => Arc::new(Date32Array::from(self.read_days(rows)?)),
            VERSION => {
                let mut versions = Vec::with_capacity(count);
                match self.entry().version.map(Version::raw) {
                    Some(version) => versions.resize(count, version),
                    None => self.read_column(VERSION, rows, &mut versions)?,
                }
                Arc::new(UInt64Array::from(versions))
            }
            _ => {
                let mut numbers = Vec::with_capacity(count);
                self.read_column::<f64>(place, rows, &mut numbers)?;
                Arc::new(Float64Array::from(numbers))
            }
        })
    }

    fn dictionary(&self, rows: Range<u64>, count: usize) -> Result<ArrayRef, SegmentError> {
        let mut places: HashMap<InstrumentId, i32> = HashMap::new();
        let mut names = Vec::new();
        let mut keys = Vec::with_capacity(count);
        // Row groups have dictionaries of their own: the place of each name in the batch's, once known.
        let mut known: Vec<Option<i32>> = Vec::new();
        let mut list_at = None;
        self.read_name_places(rows, |page, list| {
            if list_at.replace(list.as_ptr()) != Some(list.as_ptr()) {
                known.clear();
                known.resize(list.len(), None);
            }
            keys.extend(page.iter().filter_map(|place| {
                let (slot, name) = (known.get_mut(*place as usize)?, list.get(*place as usize)?);
                Some(*slot.get_or_insert_with(|| {
                    *places.entry(*name).or_insert_with(|| {
                        names.push(name.to_string());
                        i32::try_from(names.len() - 1).unwrap_or(i32::MAX)
                    })
                }))
            }));
        })?;
        let names = Arc::new(StringArray::from_iter_values(&names));
        let array = Int32DictionaryArray::try_new(Int32Array::from(keys), names);
        Ok(Arc::new(array.map_err(|e| self.damaged(&e.to_string()))?))
    }
}
