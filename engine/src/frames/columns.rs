//! Batches of a scan as frames of polars: numbers are shared with the batch, never copied.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
    TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType as Kind, SchemaRef as BatchSchema, TimeUnit as Unit};
use polars::prelude::{
    ChunkTake, Column, DataFrame, DataType, Field, IdxCa, IdxSize, Int32Chunked, Int64Chunked, Int128Chunked,
    IntoColumn, IntoSeries, NamedFrom, NewChunkedArray, PlSmallStr, PolarsNumericType, Schema, SchemaRef,
    Series, StringChunked, TimeUnit, TimeZone,
};
use polars::prelude::{ChunkedArray, Float64Chunked};
use polars_arrow::array::PrimitiveArray;
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::ArrowDataType;
use polars_arrow::types::NativeType;
use polars_buffer::Buffer;

use crate::error::{ReadResult, scan_error};

/// The type of a column in a frame; `None` where no table has one of that kind.
pub(super) fn type_of(kind: &Kind) -> Option<DataType> {
    Some(match kind {
        Kind::Utf8 => DataType::String,
        Kind::Dictionary(keys, values) if **keys == Kind::Int32 && **values == Kind::Utf8 => DataType::String,
        Kind::Timestamp(Unit::Nanosecond, Some(zone)) if zone.as_ref() == "UTC" => instants(),
        Kind::Date32 => DataType::Date,
        Kind::Int32 => DataType::Int32,
        Kind::Int64 => DataType::Int64,
        Kind::Float64 => DataType::Float64,
        Kind::Boolean => DataType::Boolean,
        Kind::Decimal128(precision, scale) => {
            DataType::Decimal(usize::from(*precision), usize::try_from(*scale).ok()?)
        }
        _ => return None,
    })
}

/// Instants: nanoseconds in UTC.
pub(super) const fn instants() -> DataType {
    DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC))
}

/// The columns of a scan as those of a frame.
pub(super) fn schema_of(schema: &BatchSchema) -> ReadResult<SchemaRef> {
    let fields = schema.fields().iter().map(|field| {
        let kind = type_of(field.data_type())
            .ok_or_else(|| scan_error(&format!("column {} has another type", field.name())))?;
        Ok(Field::new(field.name().into(), kind))
    });
    Ok(Arc::new(fields.collect::<ReadResult<Schema>>()?))
}

/// Makes frames of batches that come one after the other.
#[derive(Debug)]
pub(super) struct Frames {
    /// The numbers in which 0 stands where the source says nothing.
    untold: &'static [&'static str],
    /// The names of the dictionary that the last batch had; all batches of a scan share one.
    names: Option<(ArrayRef, StringChunked)>,
}

impl Frames {
    /// For batches of a scan. A 0 in one of the columns `untold` is no value.
    pub(super) const fn new(untold: &'static [&'static str]) -> Self {
        Self { untold, names: None }
    }

    /// A batch as a frame.
    pub(super) fn of(&mut self, batch: &RecordBatch) -> ReadResult<DataFrame> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            columns.push(self.column(field.name().into(), array)?);
        }
        DataFrame::new(batch.num_rows(), columns).map_err(|error| scan_error(&error.to_string()))
    }

    fn column(&mut self, name: PlSmallStr, array: &ArrayRef) -> ReadResult<Column> {
        let other = || scan_error(&format!("column {name} has another type"));
        let series = match array.data_type() {
            Kind::Utf8 => {
                let texts = array.as_string_opt::<i32>().ok_or_else(other)?;
                texts_of(name, texts)
            }
            Kind::Dictionary(_, _) => return self.names(name, array),
            Kind::Timestamp(Unit::Nanosecond, Some(_)) => {
                let values: Int64Chunked = shared::<TimestampNanosecondType, _>(name, array)?;
                values.into_datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)).into_series()
            }
            Kind::Date32 => {
                let values: Int32Chunked = shared::<Date32Type, _>(name, array)?;
                values.into_date().into_series()
            }
            Kind::Int32 => {
                let values: Int32Chunked = shared::<Int32Type, _>(name, array)?;
                values.into_series()
            }
            Kind::Int64 => {
                let values: Int64Chunked = shared::<Int64Type, _>(name, array)?;
                values.into_series()
            }
            Kind::Float64 => {
                let untold = self.untold.contains(&name.as_str());
                let values: Float64Chunked = shared::<Float64Type, _>(name, array)?;
                if untold { told(&values) } else { values }.into_series()
            }
            Kind::Boolean => {
                let values = array.as_boolean_opt().ok_or_else(other)?;
                Series::new(name, values.iter().collect::<Vec<Option<bool>>>())
            }
            Kind::Decimal128(precision, scale) => {
                let scale = usize::try_from(*scale).map_err(|_| other())?;
                let values: Int128Chunked = shared::<Decimal128Type, _>(name, array)?;
                // Ledger numbers are checked at birth: what is stored fits.
                values.into_decimal_unchecked(usize::from(*precision), scale).into_series()
            }
            _ => return Err(other()),
        };
        Ok(series.into_column())
    }

    /// Names, looked up in a dictionary.
    fn names(&mut self, name: PlSmallStr, array: &ArrayRef) -> ReadResult<Column> {
        let other = || scan_error(&format!("column {name} has another type"));
        let array = array.as_dictionary_opt::<Int32Type>().ok_or_else(other)?;
        let kept = self.names.as_ref().filter(|(values, _)| Arc::ptr_eq(values, array.values()));
        let names = if let Some((_, names)) = kept {
            names.clone()
        } else {
            let values = array.values().as_string_opt::<i32>().ok_or_else(other)?;
            let names = text_chunk(PlSmallStr::EMPTY, values);
            self.names = Some((array.values().clone(), names.clone()));
            names
        };
        if array.null_count() > 0 {
            return Err(scan_error(&format!("column {name} has rows without a name")));
        }
        let places: Result<Vec<IdxSize>, _> =
            array.keys().values().iter().map(|key| IdxSize::try_from(*key)).collect();
        let places = IdxCa::from_vec(PlSmallStr::EMPTY, places.map_err(|_| other())?);
        let column = names.take(&places).map_err(|error| scan_error(&error.to_string()))?;
        Ok(column.with_name(name).into_column())
    }
}

fn text_chunk(name: PlSmallStr, texts: &StringArray) -> StringChunked {
    if texts.null_count() > 0 {
        StringChunked::from_iter_options(name, texts.iter())
    } else {
        StringChunked::from_iter_values(name, texts.iter().flatten())
    }
}

fn texts_of(name: PlSmallStr, texts: &StringArray) -> Series {
    text_chunk(name, texts).into_series()
}

/// The numbers but those that are 0.
fn told(values: &Float64Chunked) -> Float64Chunked {
    let chunks = values.downcast_iter().map(|chunk| {
        let told: Bitmap = chunk.values().iter().map(|number| *number != 0.0).collect();
        chunk.clone().with_validity(Some(told))
    });
    Float64Chunked::from_chunk_iter(values.name().clone(), chunks)
}

/// Values in the memory of the batch, which lives as long as they do.
fn shared<A, P>(name: PlSmallStr, array: &ArrayRef) -> ReadResult<ChunkedArray<P>>
where
    A: ArrowPrimitiveType<Native: NativeType>,
    P: PolarsNumericType<Native = A::Native>,
{
    let array = array
        .as_primitive_opt::<A>()
        .ok_or_else(|| scan_error(&format!("column {name} has another type")))?;
    let values = Buffer::from_owner(array.values().clone());
    let missing: Option<Bitmap> = array.nulls().map(|nulls| nulls.iter().collect());
    let kind: ArrowDataType = P::get_static_dtype().to_arrow(polars::prelude::CompatLevel::newest());
    let chunk =
        PrimitiveArray::try_new(kind, values, missing).map_err(|error| scan_error(&error.to_string()))?;
    Ok(ChunkedArray::with_chunk(name, chunk))
}
