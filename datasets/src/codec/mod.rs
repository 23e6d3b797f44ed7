//! How a value becomes a column and back.
//!
//! A [`Codec`] is one column, or a group of them: a table is the group of its fields, in the order of
//! [`record_bpf::schema`]. Strings are dictionary-coded in memory on both sides: equal strings share one `Arc`.

mod plain;
mod text;
mod validity;
mod words;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use foldhash::quality::RandomState;
use record_bpf::Class;

pub(crate) use plain::{OrFalse, Signed};
use text::StrReader;
pub(crate) use words::{CauseName, ClassName, MaybeWords, Op, OriginName, PathSource, Words};

/// A value in rows, as columns.
pub(crate) trait Codec {
    type Value;
    type Builder: Default;
    type Reader;

    /// Appends a row; returns about how many bytes of memory it took.
    fn append(builder: &mut Self::Builder, value: &Self::Value) -> usize;
    /// Takes the columns out and leaves the builder empty.
    fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>);
    /// Takes its columns from the source.
    fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn>;
    /// `row` is within the batch.
    fn get(reader: &Self::Reader, row: usize) -> Self::Value;
}

/// A column whose values the schema does not allow.
#[derive(Debug)]
pub(crate) struct BadColumn {
    pub(crate) column: String,
    pub(crate) reason: String,
}

/// Hands out the columns of a batch in order.
pub(crate) struct Source<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) next: usize,
    pub(crate) class: Option<Class>,
    pub(crate) strings: &'a mut Strings,
}

impl Source<'_> {
    fn take(&mut self) -> ArrayRef {
        self.next += 1;
        self.batch.column(self.next - 1).clone()
    }

    fn take_required(&mut self) -> Result<ArrayRef, BadColumn> {
        let array = self.take();
        if array.logical_null_count() > 0 {
            return Err(self.bad("has a null, and must not"));
        }
        Ok(array)
    }

    /// The column last taken does not hold what it should.
    fn bad(&self, reason: impl Into<String>) -> BadColumn {
        BadColumn { column: self.batch.schema().field(self.next - 1).name().clone(), reason: reason.into() }
    }

    fn take_strings(&mut self, required: bool) -> Result<StrReader, BadColumn> {
        let array = if required { self.take_required()? } else { self.take() };
        let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or_else(|| self.bad("is not text"))?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(|| self.bad("is not text"))?;
        let table = self.strings.table(self.next - 1, values);
        let keys = dictionary.keys().clone();
        let absent = keys.null_count() == keys.len();
        // What cannot be resolved must show up here, not while rows are read.
        let in_range = |key: i32| usize::try_from(key).is_ok_and(|key| key < table.len());
        if !absent && !keys.iter().flatten().all(in_range) {
            return Err(self.bad("refers to a string that is not there"));
        }
        Ok(StrReader { keys, table, absent })
    }
}

/// Shared strings of one reader, across batches and columns; bounded.
#[derive(Default)]
pub(crate) struct Strings {
    /// Keyed at random: the strings are an attacker's to choose.
    known: HashSet<Arc<str>, RandomState>,
    /// By column: the dictionary last seen and its strings. Batches of one row group share a dictionary.
    tables: Vec<Option<(StringArray, Texts)>>,
}

/// The strings of a dictionary.
type Texts = Arc<[Arc<str>]>;

/// Beyond this many distinct strings sharing across batches starts anew; sharing within a batch does not suffer.
const KNOWN_MAX: usize = 1 << 16;

impl Strings {
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let new: Arc<str> = text.into();
        self.known.insert(new.clone());
        new
    }

    fn table(&mut self, column: usize, values: &StringArray) -> Texts {
        if self.tables.len() <= column {
            self.tables.resize(column + 1, None);
        }
        if let Some((seen, table)) = &self.tables[column]
            && seen.values().ptr_eq(values.values())
            && seen.offsets().ptr_eq(values.offsets())
        {
            return table.clone();
        }
        let table: Texts = (0..values.len()).map(|i| self.intern(values.value(i))).collect();
        self.tables[column] = Some((values.clone(), table.clone()));
        table
    }
}
