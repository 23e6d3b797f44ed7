//! Batches of a segment that is still open, as one compressed piece of memory.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveBuilder, StringBuilder};
use arrow::compute::concat;
use arrow::datatypes::Int32Type;
use foldhash::fast::RandomState;
use record_bpf::Class;

use crate::ipc;
use crate::open::Columns;
use crate::read::class_columns;

/// The fastest of zstd's usual levels: it is undone within a minute.
const LEVEL: i32 = 1;

/// The batches of a segment, in their order.
#[derive(Default)]
pub(crate) struct Batches {
    pub(crate) packed: Vec<Packed>,
    /// Those after them.
    pub(crate) last: Vec<Columns>,
}

impl Batches {
    /// All of them, unpacked.
    pub(crate) fn columns(&self, class: Class) -> io::Result<Vec<Columns>> {
        // The copy of what is not packed is one of pointers.
        self.packed.iter().map(|packed| packed.unpack(class)).chain(self.last.iter().cloned().map(Ok)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packed.is_empty() && self.last.is_empty()
    }
}

impl From<Vec<Columns>> for Batches {
    fn from(last: Vec<Columns>) -> Batches {
        Batches { packed: Vec::new(), last }
    }
}

/// The rows of some batches.
pub(crate) struct Packed {
    /// An Arrow IPC stream of one batch, compressed.
    stream: Box<[u8]>,
    /// Bytes of the stream as it was.
    size: usize,
}

impl Packed {
    /// `None`: they stay as they are.
    pub(crate) fn new(class: Class, batches: &[Columns]) -> Option<Packed> {
        let mut stream = Vec::new();
        ipc::write(&mut stream, class_columns(class), &join(batches)?).ok()?;
        let size = stream.len();
        Some(Packed { stream: zstd::bulk::compress(&stream, LEVEL).ok()?.into(), size })
    }

    /// The rows, as one batch.
    pub(crate) fn unpack(&self, class: Class) -> io::Result<Columns> {
        let stream = zstd::bulk::decompress(&self.stream, self.size)?;
        ipc::read(&stream, class_columns(class)).map(|(columns, _)| columns)
    }
}

/// The rows of `batches`, which have the same columns. `None`: they cannot be one.
fn join(batches: &[Columns]) -> Option<Columns> {
    (0..batches.first()?.len())
        .map(|at| {
            let parts: Vec<&dyn Array> = batches.iter().map(|columns| columns[at].as_ref()).collect();
            match parts[0].as_dictionary_opt::<Int32Type>() {
                Some(_) => texts(&parts),
                None => concat(&parts).ok(),
            }
        })
        .collect()
}

/// Dictionary-coded text, each string once: arrow's own `concat` keeps the strings of every part.
fn texts(parts: &[&dyn Array]) -> Option<ArrayRef> {
    let mut keys = PrimitiveBuilder::<Int32Type>::with_capacity(parts.iter().map(|part| part.len()).sum());
    let mut values = StringBuilder::with_capacity(0, 0);
    let mut index: HashMap<&str, i32, RandomState> = HashMap::default();
    for part in parts {
        let part = part.as_dictionary_opt::<Int32Type>()?;
        let texts = part.values().as_string_opt::<i32>()?;
        let places: Vec<i32> = (0..texts.len())
            .map(|i| {
                let text = texts.value(i);
                let next = index.len() as i32;
                *index.entry(text).or_insert_with(|| {
                    values.append_value(text);
                    next
                })
            })
            .collect();
        part.keys().iter().for_each(|key| keys.append_option(key.map(|key| places[key as usize])));
    }
    let (keys, values) = (keys.finish(), values.finish());
    // Every key is the place of a value that was appended before it.
    Some(Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values))))
}

#[cfg(test)]
mod tests {
    use arrow::array::{StringArray, UInt64Array};

    use super::*;

    #[test]
    fn rows_keep_their_order_and_strings_are_there_once() {
        let batch = |numbers: &[u64], texts: &[Option<&str>]| -> Columns {
            let texts: DictionaryArray<Int32Type> = texts.iter().copied().collect();
            vec![Arc::new(UInt64Array::from(numbers.to_vec())), Arc::new(texts)]
        };
        let batches = [
            batch(&[1, 2, 3], &[Some("b"), None, Some("a")]),
            batch(&[4], &[None]),
            batch(&[5, 6], &[Some("a"), Some("c")]),
        ];
        let joined = join(&batches).unwrap();
        assert_eq!(joined[0].as_primitive::<arrow::datatypes::UInt64Type>().values(), &[1, 2, 3, 4, 5, 6]);
        let texts = joined[1].as_dictionary::<Int32Type>();
        assert_eq!(texts.values().as_string::<i32>(), &StringArray::from(vec!["b", "a", "c"]));
        let read: Vec<_> = texts.downcast_dict::<StringArray>().unwrap().into_iter().collect();
        assert_eq!(read, [Some("b"), None, Some("a"), None, Some("a"), Some("c")]);
        assert!(join(&[]).is_none());
    }

    #[test]
    fn what_cannot_be_unpacked_is_an_error() {
        let common = crate::Common {
            ts: 1,
            cpu: 0,
            seq: 2,
            kind: record_bpf::Kind::Fork,
            container: None,
            pid: 3,
            tid: 3,
            exec_id: None,
        };
        let columns = crate::journal::to_columns(&[crate::ProcessEvent::new(common)]);
        let packed = Packed::new(Class::Process, &[columns.clone(), columns]).unwrap();
        let damaged = |stream: Box<[u8]>, size| Packed { stream, size }.unpack(Class::Process);
        assert!(damaged(packed.stream[..packed.stream.len() / 2].into(), packed.size).is_err());
        assert!(damaged(Box::from(*b"no zstd"), packed.size).is_err());
        assert!(damaged(packed.stream.clone(), packed.size - 1).is_err());
        assert_eq!(damaged(packed.stream, packed.size).unwrap()[0].len(), 2);
    }
}
