//! Rows that come as columns, and how many of them are a row group.

use std::num::NonZeroUsize;

use arrow::array::{Array, RecordBatch};
use record_bpf::Class;

use super::RecordingWriter;
use crate::parquet_read::in_memory;
use crate::read::class_columns;
use crate::{Error, Result};

impl RecordingWriter {
    /// From the next segment on, at most so many rows are a row group of it. Without this a segment is one row group: it is
    /// read whole anyway. Smaller ones cost space, and a copy of the segment in memory while it is encoded.
    pub fn set_group_rows(&mut self, rows: NonZeroUsize) {
        self.group_rows = Some(rows);
    }

    /// Takes rows that are columns already: all of the class, as [`Recording::batches`](crate::Recording::batches) gives them.
    /// They may come in any order within a segment. Memory: the columns, without a copy, until their segment is written.
    ///
    /// # Errors
    /// [`Error::Column`] for columns that are not those of the class; those of [`push`](Self::push).
    pub fn push_batch(&mut self, class: Class, batch: &RecordBatch) -> Result<()> {
        let wrong = |column: &str, expected: String, found: String| Error::Column {
            path: self.dir.join(class.name()),
            column: column.to_owned(),
            expected,
            found,
        };
        let expected = class_columns(class).count();
        if batch.num_columns() != expected {
            return Err(wrong("(all)", format!("{expected} columns"), format!("{} columns", batch.num_columns())));
        }
        for (column, array) in class_columns(class).zip(batch.columns()) {
            let ty = in_memory(column.ty);
            if *array.data_type() != ty {
                return Err(wrong(column.name, ty.to_string(), array.data_type().to_string()));
            }
            if !column.nullable && array.logical_null_count() > 0 {
                return Err(wrong(column.name, "a value in every row".to_owned(), "a null".to_owned()));
            }
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (full, bytes) = self.open.push_columns(class, batch.columns().to_vec(), &self.storage.rotation);
        self.pushed(class, full, bytes)
    }
}
