//! Batches of a segment that is still open, put end to end.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveBuilder, StringBuilder};
use arrow::compute::concat;
use arrow::datatypes::Int32Type;
use foldhash::fast::RandomState;

use crate::open::Columns;

/// The rows of `batches`, which have the same columns. `None`: they cannot be one.
pub(crate) fn join(batches: &[Columns]) -> Option<Columns> {
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
    let (keys, mut values) = (keys.finish(), values.finish());
    values.shrink_to_fit();
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
}
