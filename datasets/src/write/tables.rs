//! The dimension tables.

use std::io;
use std::path::Path;

use record_bpf::schema;

use super::RecordingWriter;
use crate::codec::Codec;
use crate::journal::{self, BatchReader};
use crate::manifest::{Manifest, Scenario, Table};
use crate::model::{Address, Container, Label, Process};
use crate::parquet_write::{self, Written};
use crate::{Error, Result, hash, manifest_file, store};

pub(crate) const PROCESSES: &str = "processes.parquet";
pub(crate) const CONTAINERS: &str = "containers.parquet";
pub(crate) const ADDRESSES: &str = "addresses.parquet";
/// Events without a row; see [`Losses`].
pub(crate) const LOSSES: &str = "losses.parquet";
pub(crate) const LABELS: &str = "labels.parquet";

impl RecordingWriter {
    /// Writes `processes.parquet`, replacing an earlier one: those that have [ended](Known::ended), and these.
    pub fn write_processes(&mut self, rows: &[Process]) -> Result<()> {
        self.put(|dir| write_processes(dir, rows).map(|(table, _)| table))
    }

    /// As [`write_processes`](Self::write_processes), of a table that is not in memory: a row group for each item. `groups` may
    /// be asked for them again, on a full disk.
    pub fn write_processes_from<I: Iterator<Item = Vec<Process>>>(&mut self, groups: impl Fn() -> I) -> Result<()> {
        self.put(|dir| write_table_from(dir, PROCESSES, schema::PROCESSES, groups()))
    }

    /// Writes `containers.parquet`, replacing an earlier one.
    pub fn write_containers(&mut self, rows: &[Container]) -> Result<()> {
        self.write_table(CONTAINERS, schema::CONTAINERS, rows)
    }

    /// Writes `addresses.parquet`, replacing an earlier one.
    pub fn write_addresses(&mut self, rows: &[Address]) -> Result<()> {
        self.write_table(ADDRESSES, schema::ADDRESSES, rows)
    }

    /// Writes `labels.parquet`, replacing an earlier one.
    pub fn write_labels(&mut self, rows: &[Label]) -> Result<()> {
        self.write_table(LABELS, schema::LABELS, rows)
    }

    /// As [`write_labels`](Self::write_labels), as [`write_processes_from`](Self::write_processes_from).
    pub fn write_labels_from<I: Iterator<Item = Vec<Label>>>(&mut self, groups: impl Fn() -> I) -> Result<()> {
        self.put(|dir| write_table_from(dir, LABELS, schema::LABELS, groups()))
    }

    pub(super) fn write_table<C: Codec<Value = C>>(
        &mut self,
        file: &str,
        columns: &'static [schema::Column],
        rows: &[C],
    ) -> Result<()> {
        self.put(|dir| write_table(dir, file, columns, rows))
    }

    /// Writes a table and enters it. On a full disk it tries again with the room that is kept for that.
    fn put(&mut self, write: impl Fn(&Path) -> Result<Table>) -> Result<()> {
        let mut table = write(&self.dir);
        if table.as_ref().is_err_and(Error::is_full) {
            self.make_room();
            self.give_back(0);
            table = write(&self.dir);
        }
        put_table(&mut self.manifest, table?);
        self.store_manifest()
    }
}

/// Writes `labels.parquet` into a finished recording, replacing an earlier one, and enters the scenario in its manifest.
///
/// # Errors
/// Those of [`Recording::open`](crate::Recording::open) and [`Error::Write`].
pub fn add_labels(dir: &Path, labels: &[Label], scenario: Scenario) -> Result<Manifest> {
    store::local_only(dir, "adding labels")?;
    let mut manifest = manifest_file::load(dir)?;
    let table = write_table(dir, LABELS, schema::LABELS, labels)?;
    put_table(&mut manifest, table);
    manifest.scenario = Some(scenario);
    manifest_file::store(dir, &mut manifest)?;
    Ok(manifest)
}

pub(crate) fn put_table(manifest: &mut Manifest, table: Table) {
    match manifest.tables.iter_mut().find(|old| old.file == table.file) {
        Some(old) => *old = table,
        None => manifest.tables.push(table),
    }
}

/// Rows of the process table in a row group, where they come out of the journal.
const GROUP_ROWS: usize = 1 << 16;

/// Writes the process table: the rows of the journal that are final, and these. Memory: a row group. Returns the torn bytes
/// of the journal, too.
pub(crate) fn write_processes(dir: &Path, rows: &[Process]) -> Result<(Table, u64)> {
    let mut ended = BatchReader::open(journal::folder(dir).join(journal::ENDED), schema::PROCESSES)?;
    let path = dir.join(PROCESSES);
    let mut count = rows.len();
    let mut rest = (!rows.is_empty()).then(|| journal::to_columns(rows));
    let groups = std::iter::from_fn(|| {
        let mut group = Vec::new();
        let mut in_group = 0;
        while in_group < GROUP_ROWS {
            match ended.next() {
                Some(Ok(columns)) => {
                    in_group += columns.first().map_or(0, |column| column.len());
                    group.push(columns);
                }
                Some(Err(error)) => return Some(Err(io::Error::other(error))),
                None => {
                    group.extend(rest.take());
                    break;
                }
            }
        }
        count += in_group;
        (!group.is_empty()).then_some(Ok(group))
    });
    let written = parquet_write::write_groups(&path, &schema::schema(schema::PROCESSES), groups)?;
    Ok((table(PROCESSES, count, written), ended.torn()))
}

pub(crate) fn write_table<C>(dir: &Path, file: &str, columns: &'static [schema::Column], rows: &[C]) -> Result<Table>
where
    C: Codec<Value = C>,
{
    let written = parquet_write::write(&dir.join(file), &schema::schema(columns), journal::to_columns(rows))?;
    Ok(table(file, rows.len(), written))
}

fn write_table_from<C: Codec<Value = C>>(
    dir: &Path,
    file: &str,
    columns: &'static [schema::Column],
    groups: impl Iterator<Item = Vec<C>>,
) -> Result<Table> {
    let mut rows = 0;
    let groups = groups.filter(|group| !group.is_empty()).map(|group| {
        rows += group.len();
        Ok(vec![journal::to_columns(&group)])
    });
    let written = parquet_write::write_groups(&dir.join(file), &schema::schema(columns), groups)?;
    Ok(table(file, rows, written))
}

fn table(file: &str, rows: usize, written: Written) -> Table {
    let Written { bytes, sha256, blocks } = written;
    Table { file: file.to_owned(), rows: rows as u64, bytes, sha256: hash::hex(&sha256), blocks: Some(blocks) }
}
