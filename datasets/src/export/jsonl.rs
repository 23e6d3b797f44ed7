//! A row as it is.

use serde_json::{Map, Value};

use crate::rows::{JOINED, Names, Row, joined};

/// Of the joined columns, those that the columns of the row do not say already.
const LEFT_OUT: [&str; 4] = ["clock", "event", "program", "what"];

/// Time and class, every column that is not null, and what the tables say of the row.
pub(super) fn line(row: &Row<'_>, names: &Names) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            map.insert(name.to_owned(), value);
        }
    };
    for (name, _) in JOINED.iter().take(2) {
        put(name, joined(name, row, names).unwrap_or_default());
    }
    row.columns().for_each(|(name, value)| put(name, value));
    for (name, _) in JOINED.iter().skip(2).filter(|(name, _)| !LEFT_OUT.contains(name)) {
        put(name, joined(name, row, names).unwrap_or_default());
    }
    Value::Object(map)
}
