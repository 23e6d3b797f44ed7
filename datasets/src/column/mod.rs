//! Columns of a segment to Parquet column chunks.
//!
//! The Parquet crate's own writer looks every string of every row up in a hash table and compares it with the smallest and
//! largest so far. Rows come dictionary-coded here, so that a string is looked at once per batch; and a column's encoding is
//! chosen by what it holds, not by its name alone. What is not a number, a boolean or text, and text that is too much for a
//! dictionary, is left to the crate.

mod chunk;
mod delta;
mod dictionary;
mod gather;
mod rle;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{ConvertedType, Type};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use chunk::Values;
use gather::{Gathered, Order};

/// Columns that nearly never repeat and grow by little: differences, without a look at them.
const DELTA: &[&str] = &["ts", "seq", "start", "end", "first", "last", "child_exec_id"];

/// Distinct values beyond which a dictionary is given up.
const DISTINCT_MAX: usize = 1 << 17;

/// Text beyond this is not kept in a dictionary, bytes.
const TEXT_MAX: usize = 8 << 20;

/// Values that encodings are compared by.
const SAMPLE: usize = 1 << 14;

/// Longest text that statistics name, bytes.
const STATISTICS_TEXT: usize = 64;

/// Writes the rows of `batches`, which have the columns of `schema`, as one row group. Batches are freed column by column.
pub(crate) fn write_row_group<W: std::io::Write + Send>(
    file: &mut SerializedFileWriter<W>,
    factory: &ArrowRowGroupWriterFactory,
    schema: &SchemaRef,
    batches: Vec<Vec<ArrayRef>>,
    order: Order<'_>,
) -> Result<()> {
    let columns = file.schema_descr().columns().to_vec();
    // Of these only the ones that are left to the crate are used.
    let mut writers = factory.create_column_writers(0)?.into_iter();
    let mut zstd = Compressor::new(chunk::LEVEL)?;
    let mut batches: Vec<_> = batches.into_iter().map(Vec::into_iter).collect();
    let mut group = file.next_row_group()?;
    for (field, column) in schema.fields().iter().zip(columns) {
        let parts: Vec<ArrayRef> = batches.iter_mut().filter_map(Iterator::next).collect();
        let mut writer =
            writers.next().ok_or_else(|| ParquetError::General("fewer column writers than columns".to_owned()))?;
        match encode(field, &column, &parts, order, &mut zstd)? {
            Some(chunk) => group.append_column(&chunk.bytes, chunk.close)?,
            None => {
                let whole = whole(field, &parts, order)?;
                drop(parts);
                for leaf in compute_leaves(field, &whole)? {
                    writer.write(&leaf)?;
                }
                writer.close()?.append_to_row_group(&mut group)?;
            }
        }
    }
    group.close()?;
    Ok(())
}

/// One array of a column's parts, in order.
fn whole(field: &Field, parts: &[ArrayRef], order: Order<'_>) -> Result<ArrayRef> {
    // Dictionaries of many batches are more than their text.
    let parts: Vec<ArrayRef> = match field.data_type() {
        DataType::Utf8 => parts
            .iter()
            .map(|part| arrow::compute::cast(part, &DataType::Utf8))
            .collect::<std::result::Result<_, _>>()?,
        _ => parts.to_vec(),
    };
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    let whole = concat(&parts)?;
    Ok(match order {
        Some(order) => take(&whole, &UInt32Array::from(order.to_vec()), None)?,
        None => whole,
    })
}

/// `None`: left to the Parquet crate.
fn encode(
    field: &Field,
    column: &ColumnDescPtr,
    parts: &[ArrayRef],
    order: Order<'_>,
    zstd: &mut Compressor<'_>,
) -> Result<Option<chunk::Chunk>> {
    if let Some(numbers) = gather::numbers(parts, order) {
        let narrow = column.physical_type() == Type::INT32;
        let delta = DELTA.contains(&field.name().as_str());
        let nulls = numbers.nulls as u64;
        let (values, range) = choose(numbers.values, column, narrow, delta, zstd)?;
        let statistics = match (narrow, range) {
            (true, range) => {
                let (least, most) = range.map(|(least, most)| (least as i32, most as i32)).unzip();
                Statistics::int32(least, most, None, Some(nulls), false)
            }
            (false, range) => {
                let (least, most) = range.map(|(least, most)| (least.cast_signed(), most.cast_signed())).unzip();
                Statistics::int64(least, most, None, Some(nulls), false)
            }
        };
        let gathered = Gathered { values, rows: numbers.rows, nulls: numbers.nulls, validity: numbers.validity };
        return chunk::encode(column.clone(), &gathered, statistics, zstd).map(Some);
    }
    if let Some(booleans) = gather::booleans(parts, order) {
        let Gathered { values, rows, nulls, validity } = booleans;
        let (least, most) = (values.iter().min().copied(), values.iter().max().copied());
        let statistics = Statistics::boolean(least, most, None, Some(nulls as u64), false);
        let gathered = Gathered { values: Values::Booleans(values), rows, nulls, validity };
        return chunk::encode(column.clone(), &gathered, statistics, zstd).map(Some);
    }
    match gather::texts(parts, order) {
        Some(texts) if texts.values.bytes <= TEXT_MAX => {
            let Gathered { values: texts, rows, nulls, validity } = texts;
            let statistics = text_statistics(&texts.distinct, nulls);
            let mut page = Vec::with_capacity(texts.bytes + 4 * texts.distinct.len());
            for text in &texts.distinct {
                page.extend_from_slice(&(text.len() as u32).to_le_bytes());
                page.extend_from_slice(text.as_bytes());
            }
            let values = match texts.keys.is_empty() {
                // No row has one.
                true => Values::Plain { values: Vec::new(), narrow: true },
                false => Values::Dictionary { keys: texts.keys, page, distinct: texts.distinct.len() },
            };
            chunk::encode(column.clone(), &Gathered { values, rows, nulls, validity }, statistics, zstd).map(Some)
        }
        _ => Ok(None),
    }
}

/// The smallest and the largest of some numbers.
type Range = Option<(u64, u64)>;

/// How the numbers of a column are written. A dictionary serves nearly all of them; where it does not, a sample decides.
fn choose(
    values: Vec<u64>,
    column: &ColumnDescPtr,
    narrow: bool,
    delta: bool,
    zstd: &mut Compressor<'_>,
) -> Result<(Values, Range)> {
    if values.is_empty() {
        return Ok((Values::Plain { values, narrow }, None));
    }
    if delta {
        let range = range(&values, column, narrow);
        return Ok((Values::Delta { values, narrow }, range));
    }
    let Some(found) = dictionary::numbers(&values, DISTINCT_MAX.min(values.len() / 2 + 1)) else {
        let range = range(&values, column, narrow);
        let sample = values[..values.len().min(SAMPLE)].to_vec();
        let by_difference = compressed(&Values::Delta { values: sample.clone(), narrow }, zstd)?;
        let as_it_is = compressed(&Values::Plain { values: sample, narrow }, zstd)?;
        let values = match by_difference <= as_it_is {
            true => Values::Delta { values, narrow },
            false => Values::Plain { values, narrow },
        };
        return Ok((values, range));
    };
    let range = range(&found.values, column, narrow);
    let mut page = Vec::new();
    chunk::plain(&found.values, narrow, &mut page);
    let distinct = found.values.len();
    let dictionary = Values::Dictionary { keys: found.keys, page, distinct };
    // A few values need no second thought.
    if distinct > 64 {
        let n = values.len().min(SAMPLE);
        let sample = values[..n].to_vec();
        let by_difference = compressed(&Values::Delta { values: sample, narrow }, zstd)? as u64 * values.len() as u64;
        if let Values::Dictionary { keys, page, .. } = &dictionary {
            let sample = Values::Dictionary { keys: keys[values.len() - n..].to_vec(), page: Vec::new(), distinct };
            let keys = compressed(&sample, zstd)? as u64 * values.len() as u64;
            let page = zstd.compress(page)?.len() as u64 * n as u64;
            if by_difference < keys + page {
                return Ok((Values::Delta { values, narrow }, range));
            }
        }
    }
    Ok((dictionary, range))
}

fn compressed(values: &Values, zstd: &mut Compressor<'_>) -> Result<usize> {
    let mut raw = Vec::new();
    let count = match values {
        Values::Dictionary { keys, .. } => keys.len(),
        Values::Delta { values, .. } | Values::Plain { values, .. } => values.len(),
        Values::Booleans(values) => values.len(),
    };
    values.write(0..count, &mut raw);
    Ok(zstd.compress(&raw)?.len().min(raw.len()))
}

/// Unsigned columns are compared as such (LogicalTypes.md of apache/parquet-format).
fn range(values: &[u64], column: &ColumnDescPtr, narrow: bool) -> Range {
    let unsigned =
        matches!(column.converted_type(), ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let key = |value: &u64| match (unsigned, narrow) {
        (true, _) => value ^ 1 << 63,
        (false, true) => i64::from(*value as i32).cast_unsigned(),
        (false, false) => *value,
    };
    let ordered = |value: &&u64| key(value).cast_signed();
    Some((*values.iter().min_by_key(ordered)?, *values.iter().max_by_key(ordered)?))
}

fn text_statistics(distinct: &[String], nulls: usize) -> Statistics {
    let (least, most) = (distinct.iter().min(), distinct.iter().max());
    let named = |text: Option<&String>| text.map(|text| ByteArray::from(text.as_bytes().to_vec()));
    let short = [least, most].into_iter().flatten().all(|text| text.len() <= STATISTICS_TEXT);
    let (least, most) = if short { (named(least), named(most)) } else { (None, None) };
    Statistics::byte_array(least, most, None, Some(nulls as u64), false)
}

#[cfg(test)]
mod tests;
