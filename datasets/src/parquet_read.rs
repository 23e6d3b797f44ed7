//! A Parquet file to record batches with exactly the columns asked for, whatever minor version wrote it.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray, make_array,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use record_bpf::schema::{Column, Type};

use crate::store::{Input, Slot};
use crate::{Error, Result};

/// Rows decoded at a time: what bounds a reader's memory.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Streams a table file. Strings come dictionary-coded (`Dictionary(Int32, Utf8)`), lists of them plain; a nullable
/// column that the file does not have comes as nulls.
pub(crate) struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// Where each column of `schema` comes from.
    places: Vec<Place>,
    fault: Slot,
    /// The decoder gave up in a state that it is not to be used in.
    broken: bool,
}

/// Where a column comes from.
enum Place {
    /// The file's batches, at this index.
    At(usize),
    /// Nowhere: the file does not have it, or it is not asked for. [`BATCH_ROWS`] of what it is then.
    StandIn(ArrayRef),
}

impl Batches {
    /// Opens a table that must have these columns.
    pub(crate) fn open<'a>(path: &Path, columns: impl IntoIterator<Item = &'a Column>) -> Result<Batches> {
        Batches::open_some(path, columns, &|_| true)
    }

    /// As [`open`](Batches::open), and reads only what is `wanted` of the columns; the others come as [`stand_in`]s.
    pub(crate) fn open_some<'a>(
        path: &Path,
        columns: impl IntoIterator<Item = &'a Column>,
        wanted: &dyn Fn(&Column) -> bool,
    ) -> Result<Batches> {
        guard(path, || Batches::open_file(path, columns, wanted))?
    }

    fn open_file<'a>(
        path: &Path,
        columns: impl IntoIterator<Item = &'a Column>,
        is_wanted: &dyn Fn(&Column) -> bool,
    ) -> Result<Batches> {
        let file = Input::open(path)?;
        let fault = file.fault();
        let damaged = |error: ParquetError| fault.error(path, one_line(&error));
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(&damaged)?;

        let found = metadata.schema().clone();
        let mut requested: Vec<Arc<Field>> = found.fields().iter().cloned().collect();
        // (column of ours, its index in the file if it is read)
        let mut wanted: Vec<(&Column, Field, Option<usize>)> = Vec::new();
        for column in columns {
            let ty = in_memory(column.ty);
            let at = found.index_of(column.name).ok();
            match at {
                Some(at) if same_kind(column.ty, found.field(at).data_type()) => {
                    // Rebuilding a dictionary out of nothing but nulls costs the Parquet reader more than all other
                    // columns together; as plain text they cost nothing.
                    if column.ty != Type::Utf8 || !all_null(metadata.metadata(), at) {
                        requested[at] = Arc::new(found.field(at).clone().with_data_type(ty.clone()));
                    }
                }
                None if column.nullable => {}
                _ => {
                    let found = at.map_or("no such column".to_owned(), |at| found.field(at).data_type().to_string());
                    return Err(Error::Column {
                        path: path.to_owned(),
                        column: column.name.to_owned(),
                        expected: column.ty.arrow().to_string(),
                        found,
                    });
                }
            }
            wanted.push((column, Field::new(column.name, ty, true), at.filter(|_| is_wanted(column))));
        }

        let requested = Arc::new(Schema::new_with_metadata(Fields::from(requested), found.metadata().clone()));
        let options = ArrowReaderOptions::new().with_schema(requested);
        let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(&damaged)?;
        let mut projected: Vec<usize> = wanted.iter().filter_map(|(.., at)| *at).collect();
        projected.sort_unstable();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), projected.iter().copied());
        file.plan(metadata.metadata(), |leaf| mask.leaf_included(leaf));
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(&damaged)?;
        // A projected batch keeps the file's column order.
        let place = |(column, _, at): &(&Column, Field, Option<usize>)| {
            let read = at.and_then(|at| projected.binary_search(&at).ok());
            read.map_or_else(|| Place::StandIn(stand_in(column)), Place::At)
        };
        let places = wanted.iter().map(place).collect();
        let schema = Arc::new(Schema::new(wanted.into_iter().map(|(_, field, _)| field).collect::<Fields>()));
        Ok(Batches { path: path.to_owned(), reader, schema, places, fault, broken: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn arrange(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let column = |(place, field): (&Place, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
            let column = match place {
                // A batch has no more rows than that.
                Place::StandIn(array) => return Ok(array.slice(0, rows)),
                Place::At(at) => batch.column(*at),
            };
            match column {
                column if column.data_type() == field.data_type() => Ok(column.clone()),
                column if column.null_count() == rows => Ok(new_null_array(field.data_type(), rows)),
                // The statistics said there was nothing here.
                column => cast(column, field.data_type()),
            }
        };
        let columns: Result<Vec<ArrayRef>, _> = self.places.iter().zip(self.schema.fields()).map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        columns
            .and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options))
            .map_err(|e| self.damaged(&e))
    }

    fn damaged(&self, error: &dyn std::error::Error) -> Error {
        self.fault.error(&self.path, one_line(error))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let path = self.path.clone();
        let next = guard(&path, || {
            let batch = self.reader.next()?;
            Some(batch.map_err(|e| self.damaged(&e)).and_then(|batch| self.arrange(&batch)))
        });
        next.unwrap_or_else(|error| {
            self.broken = true;
            Some(Err(error))
        })
    }
}

/// A column that is not read: nulls where it may be null, else 0, false, nothing, and of the words `kernel` or `user` the first.
fn stand_in(column: &Column) -> ArrayRef {
    /// Made once: a recording of many segments would fill its time with zeros.
    static MADE: Mutex<Vec<(Type, bool, bool, ArrayRef)>> = Mutex::new(Vec::new());
    let is_source = column.name == "path_source";
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |(ty, nullable, of_source, _): &&(Type, bool, bool, ArrayRef)| {
        (*ty, *nullable, *of_source) == (column.ty, column.nullable, is_source)
    };
    if let Some((.., array)) = made.iter().find(same) {
        return array.clone();
    }
    let array = make_stand_in(column, is_source);
    made.push((column.ty, column.nullable, is_source, array.clone()));
    array
}

fn make_stand_in(column: &Column, is_source: bool) -> ArrayRef {
    let ty = in_memory(column.ty);
    if column.nullable {
        return new_null_array(&ty, BATCH_ROWS);
    }
    if column.ty == Type::Utf8 {
        let word = if is_source { "kernel" } else { "" };
        let keys = Int32Array::from(vec![0; BATCH_ROWS]);
        // Every key is that of the one value.
        return Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(vec![word]))));
    }
    // All bits zero, without the nulls.
    let zeros = new_null_array(&ty, BATCH_ROWS).to_data().into_builder().nulls(None);
    // Zeros are values of each of these types; lists and bytes are empty, by offsets that are all 0.
    zeros.build().map_or_else(|_| new_null_array(&ty, BATCH_ROWS), make_array)
}

/// How many rows a file has, by its footer.
pub(crate) fn rows(path: &Path) -> Result<u64> {
    guard(path, || {
        let file = Input::open(path)?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|e| file.fault().error(path, one_line(&e)))?;
        Ok(u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0))
    })?
}

/// Runs a part of the Parquet crate. On pages that were damaged in the right places its decoders panic (60.1: the differences
/// of DELTA_BINARY_PACKED overflow in builds that check arithmetic); here that is a damaged file like any other.
pub(crate) fn guard<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T> {
    // What `read` leaves half done is not used again.
    panic::catch_unwind(AssertUnwindSafe(read)).map_err(|_| {
        let reason = "its pages make no sense to the decoder".to_owned();
        Error::Parquet { path: path.to_owned(), reason }
    })
}

/// Whether a top-level column has no values, by the file's statistics.
fn all_null(metadata: &ParquetMetaData, root: usize) -> bool {
    let schema = metadata.file_metadata().schema_descr();
    let Some(leaf) = (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == root) else {
        return false;
    };
    metadata.row_groups().iter().all(|group| {
        let nulls = group.column(leaf).statistics().and_then(|statistics| statistics.null_count_opt());
        nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
    })
}

fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type that the columns of a batch have.
pub(crate) fn in_memory(ty: Type) -> DataType {
    match ty {
        Type::Utf8 => dictionary(),
        other => other.arrow(),
    }
}

/// Whether a file's column can be read as `ty`: the same, or the same text in another in-memory form.
fn same_kind(ty: Type, found: &DataType) -> bool {
    match ty {
        Type::Utf8 => is_text(found),
        Type::Utf8List => matches!(found, DataType::List(item) if *item.data_type() == DataType::Utf8),
        other => *found == other.arrow(),
    }
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}
