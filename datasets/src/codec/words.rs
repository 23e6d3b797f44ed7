//! Values out of a closed set, stored as words.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use record_bpf::{Class, Kind};

use super::plain::Primitive;
use super::text::StrReader;
use super::{BadColumn, Codec, Source};
use crate::losses::Cause;
use crate::model::Origin;

/// A value out of a closed set, stored as its word.
pub(crate) trait Word {
    type Value: Copy;
    fn word(value: Self::Value) -> &'static str;
    /// `class`: of the table being read, for words that only mean something within one.
    fn parse(word: &str, class: Option<Class>) -> Option<Self::Value>;
}

#[derive(Default)]
pub(crate) struct WordBuilder {
    keys: Primitive<Int32Type>,
    words: Vec<&'static str>,
}

impl WordBuilder {
    fn append(&mut self, word: Option<&'static str>) -> usize {
        let Some(word) = word else { return self.keys.push_null() };
        // A handful at most, found by address.
        let seen = self.words.iter().position(|seen| std::ptr::eq(*seen, word));
        let key = seen.unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        });
        self.keys.push(key as i32)
    }

    fn finish(&mut self, out: &mut Vec<ArrayRef>) {
        let values = Arc::new(StringArray::from(std::mem::take(&mut self.words)));
        out.push(Arc::new(DictionaryArray::<Int32Type>::new(self.keys.take(), values)));
    }
}

/// The values of a column of words, null by null.
fn read<W: Word>(source: &mut Source<'_>, required: bool) -> Result<Vec<Option<W::Value>>, BadColumn> {
    let StrReader { keys, table, absent: _ } = source.take_strings(required)?;
    let parsed: Vec<_> = table.iter().map(|word| W::parse(word, source.class)).collect();
    // A dictionary may hold a word that no row uses; only a row's is an error.
    let unknown = |key: i32| source.bad(format!("{:?} is not a known value", table[key as usize]));
    let value = |key: i32| parsed[key as usize].ok_or_else(|| unknown(key));
    keys.iter().map(|key| key.map(value).transpose()).collect()
}

/// The codec of a [`Word`].
pub(crate) struct Words<W>(PhantomData<W>);

impl<W: Word> Codec for Words<W> {
    type Value = W::Value;
    type Builder = WordBuilder;
    type Reader = Vec<W::Value>;

    fn append(builder: &mut WordBuilder, value: &W::Value) -> usize {
        builder.append(Some(W::word(*value)))
    }
    fn finish(builder: &mut WordBuilder, out: &mut Vec<ArrayRef>) {
        builder.finish(out);
    }
    fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
        Ok(read::<W>(source, true)?.into_iter().flatten().collect())
    }
    fn get(reader: &Self::Reader, row: usize) -> W::Value {
        reader[row]
    }
}

/// The codec of a [`Word`] that may be missing.
pub(crate) struct MaybeWords<W>(PhantomData<W>);

impl<W: Word> Codec for MaybeWords<W> {
    type Value = Option<W::Value>;
    type Builder = WordBuilder;
    type Reader = Vec<Option<W::Value>>;

    fn append(builder: &mut WordBuilder, value: &Option<W::Value>) -> usize {
        builder.append(value.map(W::word))
    }
    fn finish(builder: &mut WordBuilder, out: &mut Vec<ArrayRef>) {
        builder.finish(out);
    }
    fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
        read::<W>(source, false)
    }
    fn get(reader: &Self::Reader, row: usize) -> Option<W::Value> {
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

/// `cause` of a loss.
pub(crate) struct CauseName;

impl Word for CauseName {
    type Value = Cause;
    fn word(cause: Cause) -> &'static str {
        cause.name()
    }
    fn parse(word: &str, _: Option<Class>) -> Option<Cause> {
        Cause::from_name(word)
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
