//! How a value becomes a column and back.
//!
//! A [`Codec`] is one column, or a group of them: a table is the group of its fields, in the order of
//! [`record_bpf::schema`]. Strings are dictionary-coded in memory on both sides: equal strings share one `Arc`.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBuilder, DictionaryArray, Int32Array,
    Int32Builder, ListArray, ListBuilder, PrimitiveArray, PrimitiveBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use record_bpf::{Class, Kind};

use crate::model::Origin;

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
        // What cannot be resolved must show up here, not while rows are read.
        let in_range = |key: i32| usize::try_from(key).is_ok_and(|key| key < table.len());
        if !keys.iter().flatten().all(in_range) {
            return Err(self.bad("refers to a string that is not there"));
        }
        Ok(StrReader { keys, table })
    }
}

/// Shared strings of one reader, across batches and columns; bounded.
#[derive(Default)]
pub(crate) struct Strings {
    known: HashSet<Arc<str>>,
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

// ---- numbers ----------------------------------------------------------------------------------------------------

macro_rules! primitive {
    ($($native:ty => $arrow:ty, $data_type:expr;)*) => {$(
        impl Codec for $native {
            type Value = $native;
            type Builder = Primitive<$arrow>;
            type Reader = PrimitiveArray<$arrow>;

            fn append(builder: &mut Self::Builder, value: &$native) -> usize {
                builder.0.append_value(*value);
                size_of::<$native>()
            }
            fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>) {
                out.push(builder.finish($data_type));
            }
            fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
                let array = source.take_required()?;
                array.as_primitive_opt::<$arrow>().cloned().ok_or_else(|| source.bad("has the wrong type"))
            }
            fn get(reader: &Self::Reader, row: usize) -> $native {
                reader.value(row)
            }
        }

        impl Codec for Option<$native> {
            type Value = Option<$native>;
            type Builder = Primitive<$arrow>;
            type Reader = PrimitiveArray<$arrow>;

            fn append(builder: &mut Self::Builder, value: &Option<$native>) -> usize {
                builder.0.append_option(*value);
                size_of::<$native>()
            }
            fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>) {
                out.push(builder.finish($data_type));
            }
            fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
                let array = source.take();
                array.as_primitive_opt::<$arrow>().cloned().ok_or_else(|| source.bad("has the wrong type"))
            }
            fn get(reader: &Self::Reader, row: usize) -> Option<$native> {
                reader.is_valid(row).then(|| reader.value(row))
            }
        }
    )*};
}

pub(crate) struct Primitive<T: ArrowPrimitiveType>(PrimitiveBuilder<T>);

impl<T: ArrowPrimitiveType> Default for Primitive<T> {
    fn default() -> Self {
        Primitive(PrimitiveBuilder::new())
    }
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    fn finish(&mut self, data_type: DataType) -> ArrayRef {
        Arc::new(self.0.finish().with_data_type(data_type))
    }
}

primitive! {
    u16 => UInt16Type, DataType::UInt16;
    u32 => UInt32Type, DataType::UInt32;
    u64 => UInt64Type, DataType::UInt64;
    i32 => Int32Type, DataType::Int32;
    // The only 64-bit signed columns are points in time.
    i64 => TimestampNanosecondType, record_bpf::schema::Type::Timestamp.arrow();
}

// ---- booleans ---------------------------------------------------------------------------------------------------

pub(crate) struct Bools(BooleanBuilder);

impl Default for Bools {
    fn default() -> Self {
        Bools(BooleanBuilder::new())
    }
}

impl Codec for bool {
    type Value = bool;
    type Builder = Bools;
    type Reader = BooleanArray;

    fn append(builder: &mut Bools, value: &bool) -> usize {
        builder.0.append_value(*value);
        1
    }
    fn finish(builder: &mut Bools, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<BooleanArray, BadColumn> {
        let array = source.take_required()?;
        array.as_boolean_opt().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &BooleanArray, row: usize) -> bool {
        reader.value(row)
    }
}

impl Codec for Option<bool> {
    type Value = Option<bool>;
    type Builder = Bools;
    type Reader = BooleanArray;

    fn append(builder: &mut Bools, value: &Option<bool>) -> usize {
        builder.0.append_option(*value);
        1
    }
    fn finish(builder: &mut Bools, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<BooleanArray, BadColumn> {
        let array = source.take();
        array.as_boolean_opt().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &BooleanArray, row: usize) -> Option<bool> {
        reader.is_valid(row).then(|| reader.value(row))
    }
}

// ---- strings ----------------------------------------------------------------------------------------------------

/// A string column under construction: every distinct string once, and a key per row.
#[derive(Default)]
pub(crate) struct StrBuilder {
    keys: Int32Builder,
    index: HashMap<Arc<str>, i32>,
    values: StringBuilder,
}

impl StrBuilder {
    fn append(&mut self, text: &str, owned: impl FnOnce() -> Arc<str>) -> usize {
        if let Some(key) = self.index.get(text) {
            self.keys.append_value(*key);
            return size_of::<i32>();
        }
        let key = self.index.len() as i32;
        self.index.insert(owned(), key);
        self.values.append_value(text);
        self.keys.append_value(key);
        // The text twice (index and values), the Arc's counts, the map's slot.
        size_of::<i32>() + 2 * text.len() + 48
    }

    fn append_null(&mut self) -> usize {
        self.keys.append_null();
        size_of::<i32>()
    }

    fn finish(&mut self, out: &mut Vec<ArrayRef>) {
        self.index.clear();
        let values = Arc::new(self.values.finish());
        // Every key was an index into `values` when it was appended.
        out.push(Arc::new(DictionaryArray::<Int32Type>::new(self.keys.finish(), values)));
    }
}

pub(crate) struct StrReader {
    keys: Int32Array,
    table: Texts,
}

impl StrReader {
    fn get(&self, row: usize) -> Option<&Arc<str>> {
        // Keys were checked against the table when the column was taken.
        self.keys.is_valid(row).then(|| &self.table[self.keys.value(row) as usize])
    }

    fn text(&self, row: usize) -> &Arc<str> {
        &self.table[self.keys.value(row) as usize]
    }
}

macro_rules! string {
    ($ty:ty, $owned:expr, $back:expr) => {
        impl Codec for $ty {
            type Value = $ty;
            type Builder = StrBuilder;
            type Reader = StrReader;

            fn append(builder: &mut StrBuilder, value: &$ty) -> usize {
                builder.append(value, || $owned(value))
            }
            fn finish(builder: &mut StrBuilder, out: &mut Vec<ArrayRef>) {
                builder.finish(out);
            }
            fn reader(source: &mut Source<'_>) -> Result<StrReader, BadColumn> {
                source.take_strings(true)
            }
            fn get(reader: &StrReader, row: usize) -> $ty {
                $back(reader.text(row))
            }
        }

        impl Codec for Option<$ty> {
            type Value = Option<$ty>;
            type Builder = StrBuilder;
            type Reader = StrReader;

            fn append(builder: &mut StrBuilder, value: &Option<$ty>) -> usize {
                match value {
                    Some(text) => builder.append(text, || $owned(text)),
                    None => builder.append_null(),
                }
            }
            fn finish(builder: &mut StrBuilder, out: &mut Vec<ArrayRef>) {
                builder.finish(out);
            }
            fn reader(source: &mut Source<'_>) -> Result<StrReader, BadColumn> {
                source.take_strings(false)
            }
            fn get(reader: &StrReader, row: usize) -> Option<$ty> {
                reader.get(row).map($back)
            }
        }
    };
}

string!(Arc<str>, Arc::clone, Arc::clone);
string!(String, |text: &String| Arc::from(text.as_str()), |text: &Arc<str>| text.to_string());

// ---- lists of strings -------------------------------------------------------------------------------------------

pub(crate) struct ListOfStr(ListBuilder<StringBuilder>);

impl Default for ListOfStr {
    fn default() -> Self {
        let item = Field::new("item", DataType::Utf8, false);
        ListOfStr(ListBuilder::new(StringBuilder::new()).with_field(item))
    }
}

impl ListOfStr {
    fn append<T: AsRef<str>>(&mut self, items: Option<&[T]>) -> usize {
        let mut bytes = 8;
        for item in items.unwrap_or_default() {
            self.0.values().append_value(item);
            bytes += 4 + item.as_ref().len();
        }
        self.0.append(items.is_some());
        bytes
    }
}

pub(crate) struct ListReader {
    lists: ListArray,
    /// The items of the whole batch, already shared.
    items: Vec<Arc<str>>,
}

impl ListReader {
    fn take(source: &mut Source<'_>, required: bool) -> Result<ListReader, BadColumn> {
        let array = if required { source.take_required()? } else { source.take() };
        let lists = array.as_list_opt::<i32>().cloned().ok_or_else(|| source.bad("is not a list"))?;
        let texts = lists.values().as_string_opt::<i32>().ok_or_else(|| source.bad("is not a list of text"))?;
        if texts.null_count() > 0 {
            return Err(source.bad("has a null in a list"));
        }
        let items = texts.iter().flatten().map(|text| source.strings.intern(text)).collect();
        Ok(ListReader { lists, items })
    }

    fn get(&self, row: usize) -> Option<&[Arc<str>]> {
        let offsets = self.lists.value_offsets();
        self.lists.is_valid(row).then(|| &self.items[offsets[row] as usize..offsets[row + 1] as usize])
    }
}

impl Codec for Option<Vec<Arc<str>>> {
    type Value = Self;
    type Builder = ListOfStr;
    type Reader = ListReader;

    fn append(builder: &mut ListOfStr, value: &Self) -> usize {
        builder.append(value.as_deref())
    }
    fn finish(builder: &mut ListOfStr, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<ListReader, BadColumn> {
        ListReader::take(source, false)
    }
    fn get(reader: &ListReader, row: usize) -> Self {
        reader.get(row).map(<[Arc<str>]>::to_vec)
    }
}

impl Codec for Vec<String> {
    type Value = Self;
    type Builder = ListOfStr;
    type Reader = ListReader;

    fn append(builder: &mut ListOfStr, value: &Self) -> usize {
        builder.append(Some(value))
    }
    fn finish(builder: &mut ListOfStr, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<ListReader, BadColumn> {
        ListReader::take(source, true)
    }
    fn get(reader: &ListReader, row: usize) -> Self {
        reader.get(row).unwrap_or_default().iter().map(ToString::to_string).collect()
    }
}

// ---- closed sets of words ---------------------------------------------------------------------------------------

/// A value out of a closed set, stored as its word.
pub(crate) trait Word {
    type Value: Copy;
    fn word(value: Self::Value) -> &'static str;
    /// `class`: of the table being read, for words that only mean something within one.
    fn parse(word: &str, class: Option<Class>) -> Option<Self::Value>;
}

/// The codec of a [`Word`].
pub(crate) struct Words<W>(PhantomData<W>);

impl<W: Word> Codec for Words<W> {
    type Value = W::Value;
    type Builder = StrBuilder;
    type Reader = Vec<W::Value>;

    fn append(builder: &mut StrBuilder, value: &W::Value) -> usize {
        let word = W::word(*value);
        builder.append(word, || word.into())
    }
    fn finish(builder: &mut StrBuilder, out: &mut Vec<ArrayRef>) {
        builder.finish(out);
    }
    fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
        let StrReader { keys, table } = source.take_strings(true)?;
        let parsed: Vec<_> = table.iter().map(|word| W::parse(word, source.class)).collect();
        // A dictionary may hold a word that no row uses; only a row's is an error.
        let unknown = |key: i32| source.bad(format!("{:?} is not a known value", table[key as usize]));
        keys.values().iter().map(|key| parsed[*key as usize].ok_or_else(|| unknown(*key))).collect()
    }
    fn get(reader: &Self::Reader, row: usize) -> W::Value {
        reader[row]
    }
}

/// `op`
pub(crate) struct Op;

impl Word for Op {
    type Value = Kind;
    fn word(kind: Kind) -> &'static str {
        kind.op()
    }
    fn parse(word: &str, class: Option<Class>) -> Option<Kind> {
        Kind::from_op(class?, word)
    }
}

/// `class` of a label.
pub(crate) struct ClassName;

impl Word for ClassName {
    type Value = Class;
    fn word(class: Class) -> &'static str {
        class.name()
    }
    fn parse(word: &str, _: Option<Class>) -> Option<Class> {
        Class::from_name(word)
    }
}

/// `path_source`: whether the path came from user memory.
pub(crate) struct PathSource;

impl Word for PathSource {
    type Value = bool;
    fn word(from_user: bool) -> &'static str {
        if from_user { "user" } else { "kernel" }
    }
    fn parse(word: &str, _: Option<Class>) -> Option<bool> {
        match word {
            "user" => Some(true),
            "kernel" => Some(false),
            _ => None,
        }
    }
}

/// `origin` of a process.
pub(crate) struct OriginName;

impl Word for OriginName {
    type Value = Origin;
    fn word(origin: Origin) -> &'static str {
        origin.name()
    }
    fn parse(word: &str, _: Option<Class>) -> Option<Origin> {
        Origin::from_name(word)
    }
}
