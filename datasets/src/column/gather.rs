//! The rows of a segment, column by column, out of the batches they came in and in the order they are stored in.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use foldhash::fast::RandomState;

/// A column: the values that are not null, and which rows they belong to.
pub(super) struct Gathered<V> {
    pub(super) values: V,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// A bit per row, set where it has a value; empty where all or none have.
    pub(super) validity: Vec<u8>,
}

/// Strings: each distinct one once, and for each row that has one its place among them.
pub(super) struct Texts {
    pub(super) keys: Vec<u32>,
    pub(super) distinct: Vec<String>,
    /// Bytes of the distinct ones.
    pub(super) bytes: usize,
}

/// Where the i-th row of the result is found among the rows of the batches put end to end. `None`: where it was.
pub(super) type Order<'a> = Option<&'a [u32]>;

/// The bits of integers and points in time; 32 bits and less are not sign-extended. `None`: another type.
pub(super) fn numbers(parts: &[ArrayRef], order: Order<'_>) -> Option<Gathered<Vec<u64>>> {
    let mut values = Vec::with_capacity(rows(parts));
    for part in parts {
        match part.data_type() {
            DataType::UInt16 => extend::<UInt16Type>(part, &mut values, u64::from),
            DataType::UInt32 => extend::<UInt32Type>(part, &mut values, u64::from),
            DataType::UInt64 => extend::<UInt64Type>(part, &mut values, |value| value),
            DataType::Int32 => extend::<Int32Type>(part, &mut values, |value| u64::from(value.cast_unsigned())),
            DataType::Int64 => extend::<Int64Type>(part, &mut values, i64::cast_unsigned),
            DataType::Timestamp(..) => extend::<TimestampNanosecondType>(part, &mut values, i64::cast_unsigned),
            _ => return None,
        }
    }
    Some(arrange(parts, order, values))
}

fn extend<T: ArrowPrimitiveType>(part: &ArrayRef, out: &mut Vec<u64>, bits: impl Fn(T::Native) -> u64) {
    out.extend(part.as_primitive::<T>().values().iter().map(|value| bits(*value)));
}

/// `None`: another type.
pub(super) fn booleans(parts: &[ArrayRef], order: Order<'_>) -> Option<Gathered<Vec<bool>>> {
    let mut values = Vec::with_capacity(rows(parts));
    for part in parts {
        values.extend(part.as_boolean_opt()?.values().iter());
    }
    Some(arrange(parts, order, values))
}

/// `None`: not dictionary-coded text.
pub(super) fn texts(parts: &[ArrayRef], order: Order<'_>) -> Option<Gathered<Texts>> {
    let mut keys: Vec<u32> = Vec::with_capacity(rows(parts));
    let mut distinct: Vec<String> = Vec::new();
    let mut index: HashMap<String, u32, RandomState> = HashMap::default();
    let mut bytes = 0;
    for part in parts {
        let part = part.as_dictionary_opt::<Int32Type>()?;
        let texts = part.values().as_string_opt::<i32>()?;
        let places: Vec<u32> = (0..texts.len())
            .map(|i| {
                let text = texts.value(i);
                if let Some(place) = index.get(text) {
                    return *place;
                }
                let place = distinct.len() as u32;
                bytes += text.len();
                // One batch cannot repeat itself, so that its strings need not be found again.
                if parts.len() > 1 {
                    index.insert(text.to_owned(), place);
                }
                distinct.push(text.to_owned());
                place
            })
            .collect();
        // The key of a null may be anything.
        keys.extend(part.keys().values().iter().map(|key| places.get(*key as usize).copied().unwrap_or_default()));
    }
    let Gathered { values: keys, rows, nulls, validity } = arrange(parts, order, keys);
    Some(Gathered { values: Texts { keys, distinct, bytes }, rows, nulls, validity })
}

pub(super) fn rows(parts: &[ArrayRef]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Brings the rows in order and leaves out what is null.
fn arrange<T: Copy>(parts: &[ArrayRef], order: Order<'_>, mut values: Vec<T>) -> Gathered<Vec<T>> {
    let rows = values.len();
    let nulls = parts.iter().map(|part| part.null_count()).sum();
    if nulls == rows {
        return Gathered { values: Vec::new(), rows, nulls, validity: Vec::new() };
    }
    if let Some(order) = order {
        values = order.iter().map(|at| values[*at as usize]).collect();
    }
    if nulls == 0 {
        return Gathered { values, rows, nulls, validity: Vec::new() };
    }
    let mut valid = Vec::with_capacity(rows);
    for part in parts {
        match part.nulls() {
            Some(nulls) => valid.extend(nulls.iter()),
            None => valid.resize(valid.len() + part.len(), true),
        }
    }
    if let Some(order) = order {
        valid = order.iter().map(|at| valid[*at as usize]).collect();
    }
    let mut kept = 0;
    for (row, valid) in valid.iter().enumerate() {
        values[kept] = values[row];
        kept += usize::from(*valid);
    }
    values.truncate(kept);
    Gathered { values, rows, nulls, validity: bits(&valid) }
}

/// Eight to the byte, least significant first.
pub(super) fn bits(bools: &[bool]) -> Vec<u8> {
    let byte = |eight: &[bool]| eight.iter().enumerate().fold(0, |byte, (i, bit)| byte | u8::from(*bit) << i);
    bools.chunks(8).map(byte).collect()
}
