//! Opening a recording.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use record_bpf::Class;
use record_bpf::schema::{self, Column};

use crate::codec::{BadColumn, Codec, Source, Strings};
use crate::events::{Columns, Events};
use crate::losses::Loss;
use crate::manifest::{Manifest, Segment, State};
use crate::model::{Address, Container, Label, Process};
use crate::parquet_read::Batches;
use crate::store::{self, Fault};
use crate::write::{ADDRESSES, CONTAINERS, LABELS, LOSSES, PROCESSES};
use crate::{Error, Result, manifest_file};

/// A recording on disk. Opening reads the manifest only.
#[derive(Clone, Debug)]
pub struct Recording {
    dir: PathBuf,
    manifest: Manifest,
}

impl Recording {
    /// Opens the recording in the directory `path`, and checks that every file its manifest lists is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoManifest`], [`Error::ForeignManifest`], [`Error::UnknownVersion`],
    /// [`Error::MissingFile`], [`Error::Read`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Recording> {
        let dir = path.into();
        let manifest = manifest_file::load(&dir)?;
        let objects = if store::is_remote(&dir) { objects(&dir)? } else { None };
        let files = manifest.segments.iter().map(|s| &s.file).chain(manifest.tables.iter().map(|t| &t.file));
        for file in files {
            let path = dir.join(inside(&dir, file)?);
            let there = match store::is_remote(&dir) {
                true => objects.as_ref().is_none_or(|objects| objects.contains_key(file.as_str())),
                false => path.exists(),
            };
            if !there {
                return Err(Error::MissingFile { path });
            }
        }
        Ok(Recording { dir, manifest })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What should be done before this is used, if anything.
    pub fn advice(&self) -> Option<String> {
        (self.manifest.state == State::Recording).then(|| {
            let dir = self.dir.display();
            format!("{dir} is unfinished: if the recorder was killed, `datasets recover {dir}` completes it")
        })
    }

    /// Every process incarnation, in the order of the table. Empty if the recorder was killed before it wrote the table.
    pub fn processes(&self) -> Result<Vec<Process>> {
        self.table(PROCESSES, schema::PROCESSES)
    }

    /// As [`processes`](Self::processes), one after the other: a table of millions is not in memory twice.
    pub fn each_process(&self, take: impl FnMut(Process)) -> Result<()> {
        match self.manifest.table(PROCESSES) {
            Some(_) => each_row(&self.dir.join(PROCESSES), schema::PROCESSES, take),
            None => Ok(()),
        }
    }

    /// Every container seen. Empty if the recorder was killed before it wrote the table.
    pub fn containers(&self) -> Result<Vec<Container>> {
        self.table(CONTAINERS, schema::CONTAINERS)
    }

    /// Who held which address when, in the order of the table. Empty in recordings before schema 1.2.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        self.table(ADDRESSES, schema::ADDRESSES)
    }

    /// What was not stored, by CPU, class, cause and time. Empty too in recordings made before there was such a table.
    pub fn losses(&self) -> Result<Vec<Loss>> {
        self.table(LOSSES, schema::LOSSES)
    }

    /// Ground truth; empty where nothing was labelled.
    pub fn labels(&self) -> Result<Vec<Label>> {
        self.table(LABELS, schema::LABELS)
    }

    /// All events in (ts, cpu, seq) order, streamed: one batch of rows of each segment that overlaps the present moment is
    /// in memory. Equal strings mostly share one `Arc`. After an error the iterator ends.
    pub fn events(&self) -> Events {
        self.events_of(&Class::ALL)
    }

    /// As [`events`](Self::events), of some classes only.
    pub fn events_of(&self, classes: &[Class]) -> Events {
        Events::new(&self.dir, &self.manifest, classes, None)
    }

    /// As [`events_of`](Self::events_of), with these columns read and no others.
    pub fn events_with(&self, classes: &[Class], columns: Columns) -> Events {
        Events::new(&self.dir, &self.manifest, classes, Some(columns))
    }

    /// As [`events_of`](Self::events_of), without the segments that have no event from `from` on or before `to` (Unix time, ns);
    /// those that overlap with these times are given whole.
    pub fn events_between(&self, classes: &[Class], from: Option<i64>, to: Option<i64>) -> Events {
        let overlaps = |segment: &Segment| {
            from.is_none_or(|from| segment.last_ts >= from) && to.is_none_or(|to| segment.first_ts < to)
        };
        Events::of(&self.dir, &self.manifest, classes, overlaps)
    }

    /// The rows of one class as record batches, segment after segment in the order they were written.
    ///
    /// `columns`: the names wanted, in the order wanted; `None`: all. Text columns come dictionary-coded
    /// (`Dictionary(Int32, Utf8)`), everything else as [`schema::class_schema`] gives it.
    ///
    /// # Errors
    /// [`Error::Column`] for a name that the class does not have; the iterator then yields [`Error::Parquet`] and such.
    pub fn batches(
        &self,
        class: Class,
        columns: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<arrow::array::RecordBatch>> + use<>> {
        let wanted = project(&self.dir, class, columns)?;
        let segments: Vec<Segment> = self.manifest.class_segments(class).cloned().collect();
        let dir = self.dir.clone();
        Ok(segments.into_iter().flat_map(move |segment| {
            let (batches, error) = match Batches::open(&dir.join(&segment.file), wanted.iter()) {
                Ok(batches) => (Some(batches), None),
                Err(error) => (None, Some(Err(error))),
            };
            batches.into_iter().flatten().chain(error)
        }))
    }

    fn table<C: Codec<Value = C>>(&self, file: &str, columns: &'static [Column]) -> Result<Vec<C>> {
        match self.manifest.table(file) {
            Some(_) => read_table(&self.dir.join(file), columns),
            None => Ok(Vec::new()),
        }
    }
}

/// The objects of a recording that is opened anew. `None`: whoever asks may read and not list.
fn objects(dir: &Path) -> Result<Option<BTreeMap<String, u64>>> {
    store::forget(dir);
    match store::list(dir) {
        Err(Error::Store { fault: Fault::Denied, .. }) => Ok(None),
        listed => listed.map(Some),
    }
}

/// Reads a whole dimension table.
pub(crate) fn read_table<C: Codec<Value = C>>(path: &Path, columns: &'static [Column]) -> Result<Vec<C>> {
    let mut rows = Vec::new();
    each_row(path, columns, |row| rows.push(row))?;
    Ok(rows)
}

/// Reads a dimension table row by row. Memory: a batch.
fn each_row<C: Codec<Value = C>>(path: &Path, columns: &'static [Column], mut take: impl FnMut(C)) -> Result<()> {
    let mut strings = Strings::default();
    for batch in Batches::open(path, columns)? {
        let batch = batch?;
        let mut source = Source { batch: &batch, next: 0, class: None, strings: &mut strings };
        let reader = C::reader(&mut source).map_err(|bad| bad_value(path, bad))?;
        (0..batch.num_rows()).for_each(|row| take(C::get(&reader, row)));
    }
    Ok(())
}

pub(crate) fn bad_value(path: &Path, BadColumn { column, reason }: BadColumn) -> Error {
    Error::Value { path: path.to_owned(), column, reason }
}

/// The columns of an event table, in order.
pub(crate) fn class_columns(class: Class) -> impl Iterator<Item = &'static Column> + Clone {
    schema::COMMON.iter().chain(schema::class_columns(class))
}

fn project(dir: &Path, class: Class, names: Option<&[&str]>) -> Result<Vec<Column>> {
    let Some(names) = names else { return Ok(class_columns(class).copied().collect()) };
    let find = |name: &&str| {
        class_columns(class).find(|column| column.name == *name).copied().ok_or_else(|| Error::Column {
            path: dir.join(class.name()),
            column: (*name).to_owned(),
            expected: format!("a column of {class}"),
            found: "no such column".to_owned(),
        })
    };
    names.iter().map(find).collect()
}

/// A manifest names files inside its own directory, and no others.
pub(crate) fn inside<'a>(dir: &Path, file: &'a str) -> Result<&'a Path> {
    let path = Path::new(file);
    if !file.is_empty() && path.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Ok(path);
    }
    let reason = format!("it lists {file:?}, which is not inside the recording");
    Err(Error::ForeignManifest { path: manifest_file::path(dir), reason })
}
