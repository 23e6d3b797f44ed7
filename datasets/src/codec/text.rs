//! Strings and lists of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, DictionaryArray, Int32Array, ListArray, ListBuilder, StringBuilder,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use foldhash::fast::RandomState;

use super::plain::Primitive;
use super::{BadColumn, Codec, Source, Texts};

/// A string column under construction: every distinct string once, and a key per row.
pub(crate) struct StrBuilder {
    keys: Primitive<Int32Type>,
    /// Keyed at random for each table: the strings are an attacker's to choose.
    index: HashMap<Arc<str>, i32, RandomState>,
    values: StringBuilder,
    /// Strings seen lately, by address. Holding the `Arc` keeps the address from being given to another string.
    recent: Recent,
}

type Recent = Box<[Option<(Arc<str>, i32)>; RECENT]>;

const RECENT: usize = 64;

impl Default for StrBuilder {
    fn default() -> Self {
        StrBuilder {
            keys: Primitive::default(),
            index: HashMap::default(),
            values: StringBuilder::default(),
            recent: Box::new([const { None }; RECENT]),
        }
    }
}

impl StrBuilder {
    #[inline]
    fn append_shared(&mut self, text: &Arc<str>) -> usize {
        // Allocations are 16 bytes apart at least.
        let slot = (text.as_ptr() as usize >> 4) % RECENT;
        if let Some((seen, key)) = &self.recent[slot]
            && Arc::ptr_eq(seen, text)
        {
            return self.keys.push(*key);
        }
        let (key, bytes) = self.key(text, || text.clone());
        self.recent[slot] = Some((text.clone(), key));
        self.keys.push(key) + bytes
    }

    fn append(&mut self, text: &str) -> usize {
        let (key, bytes) = self.key(text, || text.into());
        self.keys.push(key) + bytes
    }

    /// The key of a string, and the memory that a new one took.
    fn key(&mut self, text: &str, owned: impl FnOnce() -> Arc<str>) -> (i32, usize) {
        if let Some(key) = self.index.get(text) {
            return (*key, 0);
        }
        let key = self.index.len() as i32;
        self.index.insert(owned(), key);
        self.values.append_value(text);
        // The text twice (index and values), the Arc's counts, the map's slot.
        (key, 2 * text.len() + 48)
    }

    #[inline]
    fn append_null(&mut self) -> usize {
        self.keys.push_null()
    }

    fn finish(&mut self, out: &mut Vec<ArrayRef>) {
        self.index.clear();
        self.recent.fill(None);
        let values = Arc::new(self.values.finish());
        // Every key was an index into `values` when it was appended.
        out.push(Arc::new(DictionaryArray::<Int32Type>::new(self.keys.take(), values)));
    }
}

pub(crate) struct StrReader {
    pub(super) keys: Int32Array,
    pub(super) table: Texts,
    /// All are null.
    pub(super) absent: bool,
}

impl StrReader {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&Arc<str>> {
        if self.absent {
            return None;
        }
        // Keys were checked against the table when the column was taken.
        self.keys.is_valid(row).then(|| &self.table[self.keys.value(row) as usize])
    }

    fn text(&self, row: usize) -> &Arc<str> {
        &self.table[self.keys.value(row) as usize]
    }
}

macro_rules! string {
    ($ty:ty, $append:ident, $back:expr) => {
        impl Codec for $ty {
            type Value = $ty;
            type Builder = StrBuilder;
            type Reader = StrReader;

            fn append(builder: &mut StrBuilder, value: &$ty) -> usize {
                builder.$append(value)
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
                    Some(text) => builder.$append(text),
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

string!(Arc<str>, append_shared, Arc::clone);
string!(String, append, |text: &Arc<str>| text.to_string());

pub(crate) struct ListOfStr {
    lists: ListBuilder<StringBuilder>,
    /// Nulls before the first list: most columns of lists have nothing else.
    nulls: usize,
}

impl Default for ListOfStr {
    fn default() -> Self {
        let item = Field::new("item", DataType::Utf8, false);
        ListOfStr { lists: ListBuilder::new(StringBuilder::new()).with_field(item), nulls: 0 }
    }
}

impl ListOfStr {
    #[inline]
    fn append<T: AsRef<str>>(&mut self, items: Option<&[T]>) -> usize {
        if items.is_none() && self.lists.is_empty() {
            self.nulls += 1;
            return 0;
        }
        self.append_list(items)
    }

    fn append_list<T: AsRef<str>>(&mut self, items: Option<&[T]>) -> usize {
        self.put_nulls();
        let mut bytes = 8;
        for item in items.unwrap_or_default() {
            self.lists.values().append_value(item);
            bytes += 4 + item.as_ref().len();
        }
        self.lists.append(items.is_some());
        bytes
    }

    fn put_nulls(&mut self) {
        (0..std::mem::take(&mut self.nulls)).for_each(|_| self.lists.append(false));
    }

    fn finish(&mut self, out: &mut Vec<ArrayRef>) {
        if self.lists.is_empty() && self.nulls > 0 {
            let ty = record_bpf::schema::Type::Utf8List.arrow();
            return out.push(new_null_array(&ty, std::mem::take(&mut self.nulls)));
        }
        self.put_nulls();
        out.push(Arc::new(self.lists.finish()));
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
        builder.finish(out);
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
        builder.finish(out);
    }
    fn reader(source: &mut Source<'_>) -> Result<ListReader, BadColumn> {
        ListReader::take(source, true)
    }
    fn get(reader: &ListReader, row: usize) -> Self {
        reader.get(row).unwrap_or_default().iter().map(ToString::to_string).collect()
    }
}
