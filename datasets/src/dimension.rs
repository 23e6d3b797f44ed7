//! The tables beside the segments as record batches.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use record_bpf::schema::{self, Column};

use crate::parquet_read::{Batches, in_memory};
use crate::read::Recording;
use crate::write::{ADDRESSES, CONTAINERS, LABELS, LOSSES, PROCESSES};
use crate::{Error, Result};

/// Their names, as [`Recording::dimension`] takes them.
pub const DIMENSIONS: [&str; 5] = ["processes", "containers", "addresses", "losses", "labels"];

fn known(name: &str) -> Option<(&'static str, &'static [Column])> {
    Some(match name {
        "processes" => (PROCESSES, schema::PROCESSES),
        "containers" => (CONTAINERS, schema::CONTAINERS),
        "addresses" => (ADDRESSES, schema::ADDRESSES),
        "losses" => (LOSSES, schema::LOSSES),
        "labels" => (LABELS, schema::LABELS),
        _ => return None,
    })
}

/// The columns of a table of [`DIMENSIONS`]; none of another name.
pub fn dimension_columns(name: &str) -> &'static [Column] {
    known(name).map_or(&[], |(_, columns)| columns)
}

impl Recording {
    /// A table of [`DIMENSIONS`] as record batches with their schema, text dictionary-coded as in [`Recording::batches`]. Without
    /// rows where the recording has no such table.
    ///
    /// `columns`: the names wanted, in the order wanted; `None`: all.
    ///
    /// # Errors
    /// [`Error::Column`] for a name that the table does not have; those of reading the file.
    pub fn dimension(&self, name: &str, columns: Option<&[&str]>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let missing = |column: &str| Error::Column {
            path: self.dir().join(name),
            column: column.to_owned(),
            expected: format!("a column of {name}"),
            found: "no such column".to_owned(),
        };
        let Some((file, all)) = known(name) else {
            return Err(Error::MissingFile { path: self.dir().join(format!("{name}.parquet")) });
        };
        let wanted: Vec<&Column> = match columns {
            None => all.iter().collect(),
            Some(names) => {
                let find = |name: &&str| all.iter().find(|column| column.name == *name).ok_or_else(|| missing(name));
                names.iter().map(find).collect::<Result<_>>()?
            }
        };
        let fields = wanted.iter().map(|column| Field::new(column.name, in_memory(column.ty), true));
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        let batches = match self.manifest().table(file) {
            Some(_) => Batches::open(&self.dir().join(file), wanted)?.collect::<Result<_>>()?,
            None => Vec::new(),
        };
        Ok((schema, batches))
    }
}
