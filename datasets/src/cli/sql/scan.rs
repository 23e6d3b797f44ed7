//! The tables of recordings as polars scans: read when a query asks for them, and only the columns that it looks at.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes as types;
use datasets::{DIMENSIONS, Error, Recording, dimension_columns};
use polars::prelude::*;
use polars::sql::SQLContext;
use record_bpf::schema::{self, Type};
use record_bpf::{Class, schema::Column as Described};

use super::query_error;

/// Columns of all classes together.
const EVENTS: &str = "events";

/// The column that says which recording a row is of, where there are several.
const RECORDING: &str = "recording";

/// The column that says which class an event is of.
const CLASS: &str = "class";

type Failure = Arc<Mutex<Option<Error>>>;

/// What a query can name.
pub struct Tables {
    context: SQLContext,
    names: Vec<&'static str>,
    /// Why a table could not be read: polars keeps only the text.
    failure: Failure,
}

impl Tables {
    pub fn new(recordings: Arc<[(String, Recording)]>) -> PolarsResult<Tables> {
        let failure = Failure::default();
        let context = SQLContext::new();
        let classes = Class::ALL.map(|class| (class.name(), Part::Class(class)));
        let dimensions = DIMENSIONS.map(|name| (name, Part::Dimension(name)));
        let mut names = Vec::new();
        for (name, part) in [(EVENTS, Part::Events)].into_iter().chain(classes).chain(dimensions) {
            let scan = Scan { recordings: Arc::clone(&recordings), part, failure: Arc::clone(&failure) };
            let schema = Some(Arc::new(
                scan.columns().into_iter().map(|(name, ty)| Field::new(name.into(), kind(ty))).collect(),
            ));
            let arguments = ScanArgsAnonymous { schema, ..ScanArgsAnonymous::default() };
            context.register(name, LazyFrame::anonymous_scan(Arc::new(scan), arguments)?);
            names.push(name);
        }
        Ok(Tables { context, names, failure })
    }

    /// # Errors
    /// [`Error::Query`] for what is no query of these tables; those of reading them.
    pub fn ask(mut self, query: &str) -> datasets::Result<DataFrame> {
        let answer = self.context.execute(query).and_then(LazyFrame::collect);
        answer.map_err(|error| {
            let unread = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            unread.unwrap_or_else(|| query_error(&error, &self.names.join(", ")))
        })
    }
}

#[derive(Clone, Copy)]
enum Part {
    Events,
    Class(Class),
    Dimension(&'static str),
}

struct Scan {
    recordings: Arc<[(String, Recording)]>,
    part: Part,
    failure: Failure,
}

impl AnonymousScan for Scan {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }

    fn scan(&self, asked: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let all = self.columns();
        let wanted: Vec<(&str, Type)> = match &asked.with_columns {
            // Something has to say how many rows there are.
            Some(names) if names.is_empty() => all[..1].to_vec(),
            Some(names) => {
                let find = |name: &PlSmallStr| all.iter().find(|(known, _)| *known == name.as_str()).copied();
                names.iter().filter_map(find).collect()
            }
            None => all,
        };
        self.read(&wanted, asked.n_rows.unwrap_or(usize::MAX)).map_err(|error| {
            let text = error.to_string();
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            PolarsError::ComputeError(text.into())
        })
    }
}

impl Scan {
    fn columns(&self) -> Vec<(&'static str, Type)> {
        let described: Vec<&Described> = match self.part {
            Part::Events => schema::COMMON.iter().collect(),
            Part::Class(class) => schema::COMMON.iter().chain(schema::class_columns(class)).collect(),
            Part::Dimension(name) => dimension_columns(name).iter().collect(),
        };
        let recording = (self.recordings.len() > 1).then_some((RECORDING, Type::Utf8));
        let class = matches!(self.part, Part::Events).then_some((CLASS, Type::Utf8));
        let described = described.into_iter().map(|column| (column.name, column.ty));
        recording.into_iter().chain(class).chain(described).collect()
    }

    /// The first `rows` rows.
    fn read(&self, wanted: &[(&str, Type)], rows: usize) -> datasets::Result<DataFrame> {
        let schema = wanted.iter().map(|(name, ty)| Field::new((*name).into(), kind(*ty))).collect();
        let mut whole = DataFrame::empty_with_schema(&schema);
        for (name, recording) in self.recordings.iter() {
            let name = (self.recordings.len() > 1).then_some(name.as_str());
            match self.part {
                Part::Dimension(table) => {
                    let wanted = Wanted { columns: wanted, recording: name, class: None };
                    let first = dimension_columns(table)[0].name;
                    for batch in recording.dimension(table, Some(&wanted.stored(first)))?.1 {
                        wanted.append(&mut whole, &batch)?;
                    }
                }
                Part::Class(class) => {
                    Wanted { columns: wanted, recording: name, class: None }
                        .events(&mut whole, recording, class, rows)?;
                }
                Part::Events => {
                    for class in Class::ALL {
                        let wanted = Wanted { columns: wanted, recording: name, class: Some(class.name()) };
                        wanted.events(&mut whole, recording, class, rows)?;
                    }
                }
            }
        }
        Ok(whole.head(Some(rows)))
    }
}

/// Columns, some of which are the same in all rows and in no file.
struct Wanted<'a> {
    columns: &'a [(&'a str, Type)],
    recording: Option<&'a str>,
    class: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn constant(&self, name: &str) -> Option<&'a str> {
        match name {
            RECORDING => self.recording,
            CLASS => self.class,
            _ => None,
        }
    }

    /// What is read from the files: `first` where it is nothing else, for the number of rows.
    fn stored(&self, first: &'a str) -> Vec<&'a str> {
        let names = self.columns.iter().map(|(name, _)| *name).filter(|name| self.constant(name).is_none());
        let mut names: Vec<&str> = names.collect();
        if names.is_empty() {
            names.push(first);
        }
        names
    }

    fn events(&self, whole: &mut DataFrame, recording: &Recording, class: Class, rows: usize) -> datasets::Result<()> {
        for batch in recording.batches(class, Some(&self.stored(schema::COMMON[0].name)))? {
            if whole.height() >= rows {
                break;
            }
            self.append(whole, &batch?)?;
        }
        Ok(())
    }

    /// `batch`: of the columns that are stored, in their order.
    fn append(&self, whole: &mut DataFrame, batch: &RecordBatch) -> datasets::Result<()> {
        let mut stored = batch.columns().iter();
        let columns = self.columns.iter().filter_map(|(name, ty)| {
            let series = match self.constant(name) {
                Some(value) => StringChunked::full((*name).into(), value, batch.num_rows()).into_series(),
                None => series(name, *ty, stored.next()?),
            };
            Some(Column::from(series))
        });
        let part = DataFrame::new(batch.num_rows(), columns.collect());
        let appended = part.and_then(|part| whole.vstack_mut_owned(part).map(drop));
        appended.map_err(|error| query_error(&error, ""))
    }
}

/// The polars type of a column. Of 16 bits: 32, since only few kinds of numbers are compiled in.
fn kind(ty: Type) -> DataType {
    match ty {
        Type::Bool => DataType::Boolean,
        Type::U16 | Type::U32 => DataType::UInt32,
        Type::U64 => DataType::UInt64,
        Type::I32 => DataType::Int32,
        Type::I64 => DataType::Int64,
        Type::Utf8 => DataType::String,
        Type::Utf8List => DataType::List(Box::new(DataType::String)),
        Type::Binary => DataType::Binary,
        Type::Timestamp => DataType::Datetime(TimeUnit::Nanoseconds, None),
    }
}

/// The reader gives columns in the types that the schema says, text dictionary-coded.
fn series(name: &str, ty: Type, array: &ArrayRef) -> Series {
    let name = PlSmallStr::from(name);
    match ty {
        Type::Bool => BooleanChunked::from_iter_options(name, array.as_boolean().iter()).into_series(),
        Type::U16 => {
            let values = array.as_primitive::<types::UInt16Type>().iter().map(|value| value.map(u32::from));
            UInt32Chunked::from_iter_options(name, values).into_series()
        }
        Type::U32 => {
            UInt32Chunked::from_iter_options(name, array.as_primitive::<types::UInt32Type>().iter()).into_series()
        }
        Type::U64 => {
            UInt64Chunked::from_iter_options(name, array.as_primitive::<types::UInt64Type>().iter()).into_series()
        }
        Type::I32 => {
            Int32Chunked::from_iter_options(name, array.as_primitive::<types::Int32Type>().iter()).into_series()
        }
        Type::I64 => {
            Int64Chunked::from_iter_options(name, array.as_primitive::<types::Int64Type>().iter()).into_series()
        }
        Type::Timestamp => {
            let values = array.as_primitive::<types::TimestampNanosecondType>().iter();
            Int64Chunked::from_iter_options(name, values).into_datetime(TimeUnit::Nanoseconds, None).into_series()
        }
        Type::Utf8 => StringChunked::from_iter_options(name, texts(array).into_iter()).into_series(),
        Type::Utf8List => {
            let lists = array.as_list::<i32>();
            let mut builder = ListStringChunkedBuilder::new(name, lists.len(), lists.values().len());
            for list in lists.iter() {
                match list {
                    Some(items) => builder.append_values_iter(texts(&items).into_iter().map(Option::unwrap_or_default)),
                    None => builder.append_null(),
                }
            }
            builder.finish().into_series()
        }
        Type::Binary => BinaryChunked::from_iter_options(name, array.as_binary::<i32>().iter()).into_series(),
    }
}

/// Text, dictionary-coded or plain.
fn texts(array: &ArrayRef) -> Vec<Option<&str>> {
    match array.as_any_dictionary_opt() {
        Some(coded) => {
            let values = coded.values().as_string::<i32>();
            let keys = array.as_dictionary::<types::Int32Type>().keys();
            keys.iter().map(|key| key.map(|key| values.value(key as usize))).collect()
        }
        None => array.as_string::<i32>().iter().collect(),
    }
}
