//! Words that must not be in a recording: what would tell on which machine it was made, as a host's name.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::parquet_read::guard;
use crate::read::Recording;
use crate::{Error, Result, manifest_file};

/// A word in a column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Relative to the recording.
    pub file: String,
    /// `text` for the manifest.
    pub column: String,
    pub word: String,
    /// The first text with it.
    pub text: String,
    /// Different texts with it, counted for each batch of rows.
    pub texts: u64,
}

/// Looks for whole words in every text of a recording: its manifest, and all columns of text and bytes of all tables.
///
/// A word is whole where no letter, digit, `_`, `-`, `.` or `/` is next to it; a path (a word that begins with `/`) may go on with a
/// further `/`.
///
/// # Errors
/// Files that cannot be read.
pub fn occurrences(recording: &Recording, words: &[String]) -> Result<Vec<Found>> {
    let mut found: BTreeMap<(String, String, String), Found> = BTreeMap::new();
    let mut look = |file: &str, column: &str, text: &str| {
        for word in words.iter().filter(|word| holds(text, word)) {
            let key = (file.to_owned(), column.to_owned(), word.clone());
            let entry = found.entry(key).or_insert_with(|| Found {
                file: file.to_owned(),
                column: column.to_owned(),
                word: word.clone(),
                text: text.to_owned(),
                texts: 0,
            });
            entry.texts += 1;
        }
    };
    let manifest = recording.manifest();
    let path = manifest_file::path(recording.dir());
    let text = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
    for line in text.lines() {
        look("manifest.json", "text", line.trim());
    }
    let segments = manifest.segments.iter().map(|segment| &segment.file);
    for file in segments.chain(manifest.tables.iter().map(|table| &table.file)) {
        let path = recording.dir().join(file);
        guard(&path, || texts(&path, |column, text| look(file, column, text)))??;
    }
    Ok(found.into_values().collect())
}

/// Calls `see` with the column and each different text of a Parquet file, batch by batch.
fn texts(path: &Path, mut see: impl FnMut(&str, &str)) -> Result<()> {
    let file = File::open(path).map_err(Error::read(path))?;
    let damaged = |error: &dyn std::fmt::Display| Error::Parquet {
        path: path.to_owned(),
        reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    for batch in reader.map_err(|error| damaged(&error))? {
        let batch = batch.map_err(|error| damaged(&error))?;
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let mut all = Vec::new();
            collect(array, &mut all);
            all.sort_unstable();
            all.dedup();
            all.iter().for_each(|text| see(field.name(), text));
        }
    }
    Ok(())
}

fn collect(array: &ArrayRef, out: &mut Vec<String>) {
    match array.data_type() {
        DataType::Utf8 => out.extend(array.as_string::<i32>().iter().flatten().map(str::to_owned)),
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().iter().flatten();
            out.extend(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        }
        DataType::Dictionary(..) => collect(array.as_any_dictionary().values(), out),
        DataType::List(_) => collect(array.as_list::<i32>().values(), out),
        _ => {}
    }
}

fn holds(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_path = word.starts_with('/');
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(joins) && !after.is_some_and(|c| joins(c) && !(is_path && c == '/'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_whole_alone() {
        for (text, word, expected) in [
            ("root@vm:~", "vm", true),
            ("vm", "vm", true),
            ("/proc/sys/vm/overcommit_memory", "vm", false),
            ("vmstat jvm vm-1 vm.local", "vm", false),
            ("/home/ada/src/x", "/home/ada", true),
            ("PATH=/home/ada", "/home/ada", true),
            ("/home/adam", "/home/ada", false),
            ("/srv/home/ada", "/home/ada", false),
            ("größe vm größe", "vm", true),
            ("anything", "", false),
        ] {
            assert_eq!(holds(text, word), expected, "{word} in {text}");
        }
    }
}
