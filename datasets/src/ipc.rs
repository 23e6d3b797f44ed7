//! Columns to a frame's payload and back, as an Arrow IPC stream of one batch. Columns that are null throughout are left out.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use record_bpf::schema::Column;

use crate::parquet_read::in_memory;

/// Bytes that a buffer is aligned to: the least there is, since small batches are mostly padding otherwise.
const ALIGNMENT: usize = 8;

/// Writes the columns of a table, in the order of `columns`.
pub(crate) fn write<'a>(
    out: &mut impl Write,
    columns: impl IntoIterator<Item = &'a Column>,
    arrays: &[ArrayRef],
) -> io::Result<()> {
    let rows = arrays.first().map_or(0, |array| array.len());
    let kept: Vec<(&Column, &ArrayRef)> =
        columns.into_iter().zip(arrays).filter(|(_, array)| array.logical_null_count() < rows).collect();
    let field = |(column, array): &(&Column, &ArrayRef)| Field::new(column.name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(kept.iter().map(field).collect::<Fields>()));
    let arrays: Vec<ArrayRef> = kept.iter().map(|(_, array)| (*array).clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(io::Error::other)?;
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5).map_err(io::Error::other)?;
    let mut writer = StreamWriter::try_new_with_options(out, &schema, options).map_err(io::Error::other)?;
    writer.write(&batch).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)
}

/// The columns of a payload, in the order of `columns`, as [`crate::codec`] reads them. Columns that it lacks are null.
pub(crate) fn read<'a>(
    payload: &[u8],
    columns: impl IntoIterator<Item = &'a Column>,
) -> io::Result<(Vec<ArrayRef>, usize)> {
    let batch = batch(payload)?;
    let rows = batch.num_rows();
    let column = |column: &Column| -> io::Result<ArrayRef> {
        let wanted = in_memory(column.ty);
        match batch.column_by_name(column.name) {
            Some(array) if same(array.data_type(), &wanted) => Ok(array.clone()),
            Some(array) => {
                Err(io::Error::other(format!("column {} is {}, not {wanted}", column.name, array.data_type())))
            }
            None if column.nullable => Ok(new_null_array(&wanted, rows)),
            None => Err(io::Error::other(format!("column {} is missing", column.name))),
        }
    };
    let arrays = columns.into_iter().map(column).collect::<io::Result<Vec<_>>>()?;
    Ok((arrays, rows))
}

/// On a payload that was made up the Arrow crate's reader panics in places (60.1: slices beyond its end, lengths that overflow).
/// A frame's checksum keeps out what was damaged by chance, not what was written so.
fn batch(payload: &[u8]) -> io::Result<RecordBatch> {
    let read = || {
        let mut reader = StreamReader::try_new(payload, None).map_err(io::Error::other)?;
        reader.next().ok_or_else(|| io::Error::other("no batch in it"))?.map_err(io::Error::other)
    };
    panic::catch_unwind(read).unwrap_or_else(|_| Err(io::Error::other("it makes no sense to the decoder")))
}

/// Equal but for what a list calls its items and whether they may be null.
fn same(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::List(found), DataType::List(wanted)) => found.data_type() == wanted.data_type(),
        _ => found == wanted,
    }
}
