//! Files against the manifest, byte by byte.

use std::io;
use std::path::Path;

use super::Check;
use crate::manifest::{Manifest, Segment, Table};
use crate::read::inside;
use crate::report::FindingKind;
use crate::{Blocks, Error, hash, place, store};

/// A file as the manifest has it.
pub(super) struct Entry<'a> {
    file: &'a str,
    bytes: u64,
    sha256: &'a str,
    blocks: Option<&'a Blocks>,
}

impl<'a> From<&'a Segment> for Entry<'a> {
    fn from(segment: &'a Segment) -> Entry<'a> {
        let Segment { file, bytes, sha256, blocks, .. } = segment;
        Entry { file, bytes: *bytes, sha256, blocks: blocks.as_ref() }
    }
}

impl<'a> From<&'a Table> for Entry<'a> {
    fn from(table: &'a Table) -> Entry<'a> {
        let Table { file, rows: _, bytes, sha256, blocks } = table;
        Entry { file, bytes: *bytes, sha256, blocks: blocks.as_ref() }
    }
}

fn entries(manifest: &Manifest) -> impl Iterator<Item = Entry<'_>> {
    manifest.segments.iter().map(Entry::from).chain(manifest.tables.iter().map(Entry::from))
}

impl Check<'_> {
    /// The store's own errors are inside the `io::Error`, but for that of an object that is not there.
    fn sum(&self, path: &Path, file: &str, most: u64, advance: &mut impl FnMut(u64)) -> io::Result<hash::Summed> {
        if !store::is_remote(path) {
            return hash::of_file(path, most, advance);
        }
        let next = entries(self.manifest).skip_while(|entry| entry.file != file).skip(1);
        let bytes = store::whole(path, next.map(|entry| self.dir.join(entry.file))).map_err(|error| match error {
            Error::MissingFile { .. } => io::ErrorKind::NotFound.into(),
            other => io::Error::other(other),
        })?;
        hash::of_reader(&bytes[..], most, advance)
    }

    /// Compares a file with the manifest byte by byte; `false`: it is not there at all.
    pub(super) fn bytes(&mut self, entry: &Entry<'_>, advance: &mut impl FnMut(u64)) -> bool {
        let Entry { file, bytes, sha256, blocks } = *entry;
        let path = match inside(self.dir, file) {
            Ok(file) => self.dir.join(file),
            Err(error) => {
                self.findings.add(FindingKind::Schema, file, error.to_string());
                return false;
            }
        };
        let summed = match self.sum(&path, file, bytes, advance) {
            Ok(summed) => summed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.findings.add(FindingKind::Missing, file, "it is listed in the manifest and not there");
                return false;
            }
            Err(error) => {
                match error.downcast::<Error>() {
                    Ok(fault) => self.fault = Some(fault),
                    Err(error) => self.findings.add(FindingKind::Unreadable, file, error.to_string()),
                }
                return false;
            }
        };
        let (found, hash) = (summed.bytes, hash::hex(&summed.sha256));
        if hash == sha256 {
            return true;
        }
        if let Some(other) = entries(self.manifest).find(|other| other.sha256 == hash) {
            self.findings.add(FindingKind::Reordered, file, format!("it holds what was written as {}", other.file));
            return true;
        }
        let ranges = blocks.and_then(|blocks| blocks.altered(&summed.leaves, bytes, found)).unwrap_or_default();
        if found < bytes {
            let whole = blocks.is_some() && ranges.is_empty() && found > 0;
            let rest = if whole { "; what is left is as it was written, as far as can be told" } else { "" };
            self.findings.add(FindingKind::Truncated, file, format!("it has {found} of {bytes} bytes{rest}"));
        }
        if found >= bytes || !ranges.is_empty() {
            let mut detail = "its SHA-256 differs from the manifest's".to_owned();
            if !ranges.is_empty() {
                let parts: Vec<_> =
                    ranges.iter().map(|range| format!("{} to {}", range.start, range.end - 1)).collect();
                detail = format!("bytes {} are not as they were written", parts.join(", "));
                detail.extend(place::describe(&path, &ranges).map(|what| format!(" ({what})")));
            }
            if found > bytes {
                detail += &format!(", and {} bytes too many", found - bytes);
            }
            self.findings.altered(file, detail, &ranges);
        }
        true
    }
}
