//! Columns to a Parquet file: encodings, sorting, and the way to the disk.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampNanosecondType, UInt16Type, UInt64Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::blocks::Blocks;
use crate::hash::{Hash, HashingWriter, Summed};
use crate::manifest_file::{create_private, sync_dir};
use crate::{Error, Result, column};

/// What a finished file is, for the manifest.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
    pub(crate) blocks: Blocks,
}

impl From<Summed> for Written {
    fn from(summed: Summed) -> Written {
        Written { bytes: summed.bytes, sha256: summed.sha256, blocks: Blocks::new(&summed.leaves) }
    }
}

/// Writes the columns of a table (in the schema's order, strings dictionary-coded) under a temporary name, brings them
/// to the disk, and renames the file into place. On failure nothing is left behind.
pub(crate) fn write(path: &Path, schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<Written> {
    write_batches(path, schema, vec![columns], None, None, None)
}

/// As [`write`], the rows of several batches in the order that [`order_of`] gave. `note`: key and value that go into the
/// file's metadata. `group_rows`: as of [`encode`].
pub(crate) fn write_batches(
    path: &Path,
    schema: &SchemaRef,
    batches: Vec<Vec<ArrayRef>>,
    order: Option<&[u32]>,
    note: Option<(&str, String)>,
    group_rows: Option<NonZeroUsize>,
) -> Result<Written> {
    replace(path, |temporary| {
        let file = HashingWriter::new(create_private(temporary)?);
        Ok(encode(file, schema, batches, order, note, group_rows)?.sync()?.into())
    })
}

/// As [`write`], of a table that is not in memory: a row group for each item, which is some batches.
pub(crate) fn write_groups(
    path: &Path,
    schema: &SchemaRef,
    groups: impl Iterator<Item = io::Result<Vec<Vec<ArrayRef>>>>,
) -> Result<Written> {
    replace(path, |temporary| {
        let file = HashingWriter::new(create_private(temporary)?);
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties(schema))).map_err(to_io)?;
        let (mut writer, factory) = writer.into_serialized_writer().map_err(to_io)?;
        for batches in groups {
            column::write_row_group(&mut writer, &factory, schema, batches?, None).map_err(to_io)?;
        }
        Ok(writer.into_inner().map_err(to_io)?.sync()?.into())
    })
}

/// Writes a file under a temporary name, and renames it into place.
fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<Written>) -> Result<Written> {
    let temporary = path.with_extension("parquet.tmp");
    let written = write(&temporary).and_then(|written| {
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), sync_dir)?;
        Ok(written)
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        Error::Write { path: path.to_owned(), source }
    })
}

/// Writes a whole Parquet file to `out`. `group_rows`: rows of a row group, the last one has the rest; `None`: all are one.
pub(crate) fn encode<W: io::Write + Send>(
    out: W,
    schema: &SchemaRef,
    batches: Vec<Vec<ArrayRef>>,
    order: Option<&[u32]>,
    note: Option<(&str, String)>,
    group_rows: Option<NonZeroUsize>,
) -> io::Result<W> {
    let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(schema))).map_err(to_io)?;
    let (mut writer, factory) = writer.into_serialized_writer().map_err(to_io)?;
    let rows: usize = batches.iter().filter_map(|columns| columns.first()).map(|column| column.len()).sum();
    match group_rows.map(NonZeroUsize::get) {
        _ if rows == 0 => {}
        Some(most) if most < rows => {
            let whole = gathered(&batches).map_err(to_io)?;
            drop(batches);
            for begin in (0..rows).step_by(most) {
                let length = most.min(rows - begin);
                let group = whole.iter().map(|column| match order {
                    Some(order) => take(column, &UInt32Array::from(order[begin..begin + length].to_vec()), None),
                    None => Ok(column.slice(begin, length)),
                });
                let group = group.collect::<Result<Vec<_>, _>>().map_err(|error| to_io(error.into()))?;
                column::write_row_group(&mut writer, &factory, schema, vec![group], None).map_err(to_io)?;
            }
        }
        _ => column::write_row_group(&mut writer, &factory, schema, batches, order).map_err(to_io)?,
    }
    if let Some((key, value)) = note {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    writer.into_inner().map_err(to_io)
}

/// The columns of all batches, each in one piece.
fn gathered(batches: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>, ParquetError> {
    let columns = batches.first().map_or(0, Vec::len);
    let column = |at: usize| {
        let parts: Vec<&dyn Array> =
            batches.iter().filter_map(|columns| columns.get(at)).map(|column| column.as_ref()).collect();
        concat(&parts).map_err(ParquetError::from)
    };
    (0..columns).map(column).collect()
}

fn to_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

/// For what [`column`] leaves to the Parquet crate: lists, bytes, and text that is too much for a dictionary.
fn properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("retroscope datasets ", env!("CARGO_PKG_VERSION")).to_owned())
        // A segment is one row group with few, large pages: better compressed, and read whole anyway.
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(1 << 17)
        .set_dictionary_page_size_limit(4 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for field in schema.fields().iter().filter(|field| *field.data_type() == DataType::Utf8) {
        // What does not fit the dictionary shares prefixes, as paths do.
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false)
            .set_column_encoding(ColumnPath::from(field.name().as_str()), Encoding::DELTA_BYTE_ARRAY);
    }
    properties.build()
}

/// Where the rows of some batches of events go, by (ts, cpu, seq), which are the first three columns; None: they are in
/// order. And the first and the last ts.
pub(crate) fn order_of(batches: &[Vec<ArrayRef>]) -> (Option<Vec<u32>>, (i64, i64)) {
    let rows: usize = batches.iter().filter_map(|columns| columns.first()).map(|column| column.len()).sum();
    let (mut ts, mut cpu, mut seq) = (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
    for columns in batches.iter().filter(|columns| columns.len() > 2) {
        ts.extend_from_slice(columns[0].as_primitive::<TimestampNanosecondType>().values());
        cpu.extend_from_slice(columns[1].as_primitive::<UInt16Type>().values());
        seq.extend_from_slice(columns[2].as_primitive::<UInt64Type>().values());
    }
    let key = |i: u32| (ts[i as usize], cpu[i as usize], seq[i as usize]);
    let mut order: Vec<u32> = (0..ts.len() as u32).collect();
    let at = |i: Option<&u32>| i.map_or(0, |i| ts[*i as usize]);
    if order.is_sorted_by_key(|i| key(*i)) {
        return (None, (at(order.first()), at(order.last())));
    }
    if !insert_all(&mut order, key) {
        order.sort_by_key(|i| key(*i));
    }
    let range = (at(order.first()), at(order.last()));
    (Some(order), range)
}

/// Moves by which rows may be out of place, on average, before another sort is faster.
const MOVES: usize = 16;

/// Insertion sort: two CPUs' streams come out of the ring nearly in order, each row a few places off. False: they did not, and
/// the order is not sorted yet.
fn insert_all<K: Ord>(order: &mut [u32], key: impl Fn(u32) -> K) -> bool {
    let mut left = order.len() * MOVES;
    for i in 1..order.len() {
        let row = order[i];
        let own = key(row);
        let mut place = i;
        while place > 0 && key(order[place - 1]) > own {
            order[place] = order[place - 1];
            place -= 1;
        }
        order[place] = row;
        left = left.saturating_sub(i - place);
        if left == 0 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_a_few_places_off_are_inserted_and_others_given_back() {
        let keys: Vec<u32> = (0..1000).map(|i: u32| i ^ 3).collect();
        let mut order: Vec<u32> = (0..1000).collect();
        assert!(insert_all(&mut order, |i| keys[i as usize]));
        assert!(order.is_sorted_by_key(|i| keys[*i as usize]));
        let mut order: Vec<u32> = (0..1000).collect();
        assert!(!insert_all(&mut order, |i| 1000 - i));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000), "nothing is lost on the way");
    }
}
