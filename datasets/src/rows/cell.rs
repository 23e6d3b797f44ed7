//! One value of an Arrow column as JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type,
};
use serde_json::Value;

use crate::tree::is_format;

/// The types are those that the schema has; there is a test that no other came to be.
pub(super) fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().value(row).into()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => text(array.as_binary::<i32>().value(row)).into(),
        DataType::Dictionary(..) => {
            let dictionary = array.as_dictionary::<Int32Type>();
            cell(dictionary.values().as_ref(), dictionary.keys().value(row) as usize)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(items.as_ref(), item)).collect()
        }
        _ => Value::Null,
    }
}

/// What a text is shown as: characters that steer a terminal, or that hide or reorder others, are written out.
pub fn printable(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() || is_format(c);
    if !text.chars().any(odd) {
        return text.into();
    }
    text.chars().map(|c| if odd(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Bytes as text, what is not UTF-8 as `\xNN`.
fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use record_bpf::{Class, schema};

    use super::*;

    #[test]
    fn every_type_of_the_schema_becomes_a_value() {
        let known = |ty: &DataType| match ty {
            DataType::List(item) => *item.data_type() == DataType::Utf8,
            ty => matches!(
                ty,
                DataType::Boolean
                    | DataType::UInt16
                    | DataType::UInt32
                    | DataType::UInt64
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Timestamp(TimeUnit::Nanosecond, _)
                    | DataType::Utf8
                    | DataType::Binary
            ),
        };
        for class in Class::ALL {
            for field in schema::class_schema(class).fields() {
                assert!(known(field.data_type()), "{class}: {field}");
            }
        }
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(printable("größe"), "größe");
        assert_eq!(printable("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
    }

    #[test]
    fn bytes_that_are_no_text_can_be_seen() {
        assert_eq!(text(b"GET /\xff\x00 x"), "GET /\\xff\0 x");
    }
}
