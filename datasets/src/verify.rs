//! Does a recording hold what it says, and does it account for all it does not hold?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use record_bpf::{Class, schema};

use crate::codec::Strings;
use crate::events::{self, Key};
use crate::losses::{Cause, Loss};
use crate::manifest::{Accounting, ClassAccount, Manifest, Segment, State, Table};
use crate::model::{Address, Container, Label, Process};
use crate::parquet_read::Batches;
use crate::read::{class_columns, inside, read_table};
use crate::report::{FindingKind, Findings, Verdict, VerifyReport};
use crate::seqs::Seqs;
use crate::signature::PublicKey;
use crate::write::{ADDRESSES, CONTAINERS, LABELS, LOSSES, PROCESSES};
use crate::{Blocks, Error, Result, hash, manifest_file, place, segment_account, signature};

/// Bytes checked so far, and bytes to check in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Checks the recording in the directory `path`.
///
/// Recomputes every SHA-256 and the chain; decodes every row and checks it against the schema, the order and the counts
/// of the manifest; and proves the accounting from the rows' sequence numbers: on each CPU what is missing is exactly
/// what the manifest says was dropped, filtered, sampled out or known, and for each class they and the stored ones add up
/// to the emitted ones.
///
/// Damage is in the report, not an error. Memory: one batch of rows, 4 bytes for each run of sequence numbers without a gap,
/// and a bit for each row of the segments whose neighbours in time were not read yet.
///
/// # Errors
/// When there is no manifest to check against; see [`Recording::open`](crate::Recording::open).
pub fn verify(path: &Path, progress: impl FnMut(Progress)) -> Result<VerifyReport> {
    verify_signed(path, None, progress)
}

/// As [`verify`]; the recording must be signed by `key`, if one is given.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_signed(path: &Path, key: Option<&PublicKey>, mut progress: impl FnMut(Progress)) -> Result<VerifyReport> {
    let (manifest, text) = manifest_file::load_text(path)?;
    let tables = manifest.tables.iter().map(|table| table.bytes);
    let total = tables.fold(manifest.bytes(), u64::saturating_add);
    let mut done = 0;
    let mut advance = |bytes| {
        done += bytes;
        progress(Progress { done, total });
    };

    let mut check =
        Check { dir: path, manifest: &manifest, findings: Findings::default(), seqs: Seqs::default(), losses: None };
    if !manifest_file::seal_holds(&manifest, &text) {
        let detail = "its digest differs: it was changed after it was written";
        check.findings.add(FindingKind::Altered, manifest_file::MANIFEST, detail);
    }
    signature::check(&manifest, key, &mut check.findings);
    check.chain();
    let mut rows = 0;
    for segment in &manifest.segments {
        rows += check.segment(segment, &mut advance);
    }
    for table in &manifest.tables {
        check.table(table, &mut advance);
    }
    check.unlisted();
    check.accounting();
    let Check { mut findings, seqs, losses, .. } = check;
    if manifest.state == State::Recording {
        let last = manifest.segments.iter().map(|segment| segment.last_ts).max();
        let last = last.map_or("any row was written".to_owned(), |ts| crate::Moment::from_ns(ts).utc);
        let detail = format!("the recorder did not finish: what it held in memory after {last} is lost, uncounted");
        findings.add(FindingKind::Unfinished, manifest_file::MANIFEST, detail);
    }
    if let Some(recovered) = &manifest.recovered {
        findings.add(FindingKind::Recovered, manifest_file::MANIFEST, recovered.unknown());
    }
    let findings = findings.into_vec();
    let damaged = findings.iter().any(|finding| finding.kind.is_damage(manifest.state));
    let found = |kind| findings.iter().any(|finding| finding.kind == kind);
    let untrusted = found(FindingKind::Unsigned) || found(FindingKind::OtherKey);
    let broken = found(FindingKind::BrokenSignature);
    let verdict = match (damaged, manifest.state) {
        (true, _) => Verdict::Damaged,
        (false, _) if untrusted => Verdict::Untrusted,
        (false, State::Recording) => Verdict::Unfinished,
        (false, State::Complete) => Verdict::Intact,
        (false, State::Recovered) => Verdict::Recovered,
    };
    Ok(VerifyReport {
        path: path.to_owned(),
        verdict,
        state: manifest.state,
        started: manifest.started.clone(),
        segments: manifest.segments.len() as u64,
        tables: manifest.tables.len() as u64,
        rows,
        bytes: done,
        signed_by: manifest.signature.as_ref().filter(|_| !broken).map(|signature| signature.public_key.clone()),
        chain: manifest.chain_end(),
        cpus: seqs.report(path, &manifest, losses.as_deref()),
        findings,
    })
}

/// A file as the manifest has it.
struct Entry<'a> {
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

struct Check<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    findings: Findings,
    seqs: Seqs,
    /// Once their table was read.
    losses: Option<Vec<Loss>>,
}

impl Check<'_> {
    /// Each link follows the one before it *as written*, so that a break is named once, where it is.
    fn chain(&mut self) {
        let mut previous = self.manifest.chain_start();
        for (at, segment) in self.manifest.segments.iter().enumerate() {
            let (link, sha256) = (hash::from_hex(&segment.chain), hash::from_hex(&segment.sha256));
            let expected = previous.zip(sha256).map(|(p, s)| hash::chain(&p, &s));
            if link.is_none() || link != expected {
                let (kind, detail) = match self.written_after(link, sha256) {
                    None => (
                        FindingKind::Chain,
                        "it does not follow the segment listed before it: one was replaced or removed".to_owned(),
                    ),
                    Some(first) => {
                        let listed = at.checked_sub(1).map(|before| self.manifest.segments[before].file.as_str());
                        let (first, listed) = (first.unwrap_or("all others"), listed.unwrap_or("nothing"));
                        let order = if first == "all others" { "before" } else { "after" };
                        (FindingKind::Reordered, format!("it was written {order} {first} and is listed after {listed}"))
                    }
                };
                self.findings.add(kind, &segment.file, detail);
            }
            previous = link;
        }
    }

    /// The listed segment that one was written after; `Some(None)`: it was the first.
    fn written_after(&self, link: Option<hash::Hash>, sha256: Option<hash::Hash>) -> Option<Option<&str>> {
        let (link, sha256) = (link?, sha256?);
        let follows = |before: Option<hash::Hash>| before.is_some_and(|before| hash::chain(&before, &sha256) == link);
        if follows(self.manifest.chain_start()) {
            return Some(None);
        }
        let mut listed = self.manifest.segments.iter();
        listed.find(|segment| follows(hash::from_hex(&segment.chain))).map(|segment| Some(segment.file.as_str()))
    }

    /// Returns the rows found.
    fn segment(&mut self, segment: &Segment, advance: &mut impl FnMut(u64)) -> u64 {
        let Some(class) = Class::from_name(&segment.class) else {
            let detail = format!("{:?} is not a known event class", segment.class);
            self.findings.add(FindingKind::Schema, &segment.file, detail);
            return 0;
        };
        if !self.bytes(&Entry::from(segment), advance) {
            return 0;
        }
        let path = self.dir.join(&segment.file);
        match self.rows(&path, class) {
            Err(error) => {
                self.unreadable(&segment.file, &error);
                0
            }
            Ok(found) => {
                if let Some((row, times)) = found.disorder {
                    let detail = format!("rows are out of (ts, cpu, seq) order, first at row {row}, {times} times");
                    self.findings.add(FindingKind::Reordered, &segment.file, detail);
                }
                self.expect(&segment.file, "rows", segment.rows, found.rows);
                self.note(segment, &path, &found);
                if found.rows > 0 {
                    self.expect(&segment.file, "first_ts", segment.first_ts, found.first_ts);
                    self.expect(&segment.file, "last_ts", segment.last_ts, found.last_ts);
                }
                found.rows
            }
        }
    }

    fn rows(&mut self, path: &Path, class: Class) -> Result<Found> {
        let mut batches = Batches::open(path, class_columns(class))?;
        let mut strings = Strings::default();
        let mut found = Found { rows: 0, first_ts: i64::MAX, last_ts: i64::MIN, disorder: None, cpus: BTreeMap::new() };
        let mut last: Option<Key> = None;
        while let Some((rows, n)) = events::decode(&mut batches, class, &mut strings)? {
            for key in (0..n).map(|row| rows.key(row)) {
                let (ts, cpu, seq) = key;
                if last.is_some_and(|last| key < last) {
                    found.disorder.get_or_insert((found.rows, 0)).1 += 1;
                }
                last = Some(key);
                found.rows += 1;
                found.first_ts = found.first_ts.min(ts);
                found.last_ts = found.last_ts.max(ts);
                self.seqs.insert(cpu, class, seq);
                let (n, first, last) = found.cpus.entry(cpu).or_insert((0, seq, seq));
                (*n, *first, *last) = (*n + 1, (*first).min(seq), (*last).max(seq));
            }
        }
        self.seqs.compact();
        Ok(found)
    }

    /// The account in the segment's own metadata says of its rows what is there, and adds up.
    fn note(&mut self, segment: &Segment, path: &Path, found: &Found) {
        let note = match segment_account::read(path) {
            Ok(Some(note)) => note,
            Ok(None) => return,
            Err(error) => return self.unreadable(&segment.file, &error),
        };
        let mut said: BTreeMap<u16, (u64, u64, u64)> = BTreeMap::new();
        for cpu in &note.cpus {
            if let (Some(first), Some(last)) = (cpu.first_seq, cpu.last_seq) {
                said.insert(cpu.cpu, (cpu.rows, first, last));
            }
            if segment_account::in_flight(&cpu.account) != cpu.in_flight {
                let detail = format!("its account of cpu {} does not add up", cpu.cpu);
                self.findings.add(FindingKind::Miscounted, &segment.file, detail);
            }
        }
        if said != found.cpus {
            let detail = "its account has other rows or sequence numbers than its rows";
            self.findings.add(FindingKind::Miscounted, &segment.file, detail);
        }
    }

    /// The losses of each CPU, class and cause are those of the accounting.
    fn losses(&mut self, accounting: &Accounting) {
        // Recordings made before there was such a table have none; one that was taken away is missing or unlisted.
        let Some(losses) = &self.losses else { return };
        let mut sums: BTreeMap<(u16, &str, &str), u64> = BTreeMap::new();
        for loss in losses {
            let sum = sums.entry((loss.cpu, loss.class.name(), loss.cause.name())).or_default();
            *sum = sum.saturating_add(loss.count);
        }
        let mut wrong = Vec::new();
        for account in &accounting.cpus {
            for (class, counts) in &account.classes {
                for cause in Cause::ALL {
                    let (said, found) =
                        (cause.of(counts), sums.remove(&(account.cpu, class, cause.name())).unwrap_or(0));
                    if said != found {
                        wrong.push((account.cpu, class.clone(), cause.name(), said, found));
                    }
                }
            }
        }
        wrong.extend(sums.into_iter().map(|((cpu, class, cause), n)| (cpu, class.to_owned(), cause, 0, n)));
        for (cpu, class, cause, said, found) in wrong {
            let detail = format!("{cause} of cpu {cpu}, {class}: {said} in the manifest, {found} in the table");
            self.findings.add(FindingKind::Miscounted, LOSSES, detail);
        }
    }

    fn table(&mut self, table: &Table, advance: &mut impl FnMut(u64)) {
        if !self.bytes(&Entry::from(table), advance) {
            return;
        }
        let path = self.dir.join(&table.file);
        let rows = match table.file.as_str() {
            PROCESSES => read_table::<Process>(&path, schema::PROCESSES).map(|rows| rows.len()),
            ADDRESSES => read_table::<Address>(&path, schema::ADDRESSES).map(|rows| rows.len()),
            CONTAINERS => read_table::<Container>(&path, schema::CONTAINERS).map(|rows| rows.len()),
            LOSSES => read_table::<Loss>(&path, schema::LOSSES).map(|rows| {
                let n = rows.len();
                self.losses = Some(rows);
                n
            }),
            LABELS => read_table::<Label>(&path, schema::LABELS).map(|labels| {
                let lost = labels.iter().filter(|label| !self.seqs.contains(label.cpu, label.seq)).count();
                if lost > 0 {
                    let detail = format!("{lost} labels name an event that is not in the recording");
                    self.findings.add(FindingKind::Miscounted, &table.file, detail);
                }
                labels.len()
            }),
            _ => {
                self.findings.add(FindingKind::Schema, &table.file, "it is not a table of this schema");
                return;
            }
        };
        match rows {
            Ok(rows) => self.expect(&table.file, "rows", table.rows, rows as u64),
            Err(error) => self.unreadable(&table.file, &error),
        }
    }

    /// Compares a file with the manifest byte by byte; `false`: it is not there at all.
    fn bytes(&mut self, entry: &Entry<'_>, advance: &mut impl FnMut(u64)) -> bool {
        let Entry { file, bytes, sha256, blocks } = *entry;
        let path = match inside(self.dir, file) {
            Ok(file) => self.dir.join(file),
            Err(error) => {
                self.findings.add(FindingKind::Schema, file, error.to_string());
                return false;
            }
        };
        let summed = match hash::of_file(&path, bytes, advance) {
            Ok(summed) => summed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.findings.add(FindingKind::Missing, file, "it is listed in the manifest and not there");
                return false;
            }
            Err(error) => {
                self.findings.add(FindingKind::Unreadable, file, error.to_string());
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

    fn unreadable(&mut self, file: &str, error: &Error) {
        let (kind, detail) = match error {
            Error::Column { column, expected, found, .. } => {
                (FindingKind::Schema, format!("column {column}: expected {expected}, found {found}"))
            }
            Error::Value { column, reason, .. } => (FindingKind::Schema, format!("column {column}: {reason}")),
            Error::Parquet { reason, .. } => (FindingKind::Unreadable, reason.clone()),
            other => (FindingKind::Unreadable, other.to_string()),
        };
        self.findings.add(kind, file, detail);
    }

    fn expect<T: PartialEq + std::fmt::Display>(&mut self, file: &str, what: &str, manifest: T, found: T) {
        if manifest != found {
            let detail = format!("{what}: {manifest} in the manifest, {found} in the file");
            self.findings.add(FindingKind::Miscounted, file, detail);
        }
    }

    /// Files that a reader who globs the directory would take for part of the recording.
    fn unlisted(&mut self) {
        let folders = Class::ALL.map(Class::name).into_iter().chain([""]);
        let listed = |file: &str| {
            self.manifest.segments.iter().any(|segment| segment.file == file) || self.manifest.table(file).is_some()
        };
        let mut found: Vec<String> = Vec::new();
        for folder in folders {
            let entries = fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let files = names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") });
            found.extend(files.filter(|file| file.ends_with(".parquet") && !listed(file)));
        }
        found.sort();
        for file in found {
            self.findings.add(FindingKind::Unlisted, &file, "it is there and not listed in the manifest");
        }
    }

    fn accounting(&mut self) {
        for (cpu, duplicates) in self.seqs.duplicates() {
            let detail = format!("{duplicates} rows repeat a sequence number");
            self.findings.add(FindingKind::Duplicate, &format!("cpu {cpu}"), detail);
        }
        if self.manifest.state == State::Recording {
            return;
        }
        let Some(accounting) = &self.manifest.accounting else {
            self.findings.add(FindingKind::Miscounted, manifest_file::MANIFEST, "it is complete, without accounting");
            return;
        };
        self.losses(accounting);
        let mut rows: BTreeMap<(u16, &str), u64> = self.seqs.rows_by_class();
        for account in &accounting.cpus {
            let cpu = account.cpu;
            let mut emitted = account.unattributed;
            let mut unstored = account.unattributed;
            for (class, counts) in &account.classes {
                let place = format!("cpu {cpu}, {class}");
                let stored = rows.remove(&(cpu, class.as_str())).unwrap_or(0);
                self.expect_count(&place, "stored", counts.stored, "rows in the segments", stored);
                if !counts.holds() {
                    let ClassAccount { emitted, stored, dropped, filtered, sampled_out, known, pruned } = *counts;
                    let detail = format!(
                        "emitted {emitted} is not stored {stored} + dropped {} + filtered {filtered} + sampled out \
                         {sampled_out} + known {known} + pruned {pruned}",
                        dropped.total()
                    );
                    self.findings.add(FindingKind::Miscounted, &place, detail);
                }
                emitted = emitted.saturating_add(counts.emitted);
                unstored = unstored.saturating_add(counts.without_row());
            }
            let place = format!("cpu {cpu}");
            self.expect_count(&place, "next_seq", account.next_seq, "emitted in all classes", emitted);
            let (missing, beyond) = self.seqs.missing_below(cpu, account.next_seq);
            if beyond > 0 {
                let detail = format!("{beyond} rows have a sequence number of {} or more", account.next_seq);
                self.findings.add(FindingKind::Miscounted, &place, detail);
            }
            self.expect_count(
                &place,
                "dropped + filtered + sampled out + known",
                unstored,
                "missing sequence numbers",
                missing,
            );
        }
        for ((cpu, class), n) in rows {
            let detail = format!("{n} rows, and the accounting does not know them");
            self.findings.add(FindingKind::Miscounted, &format!("cpu {cpu}, {class}"), detail);
        }
    }

    fn expect_count(&mut self, place: &str, what: &str, said: u64, versus: &str, found: u64) {
        if said != found {
            let detail = format!("{what} {said} in the manifest, {found} {versus}");
            self.findings.add(FindingKind::Miscounted, place, detail);
        }
    }
}

/// What a segment's rows say.
struct Found {
    rows: u64,
    first_ts: i64,
    last_ts: i64,
    /// First row that is smaller than the one before it, and how many are.
    disorder: Option<(u64, u64)>,
    /// (rows, smallest and largest sequence number) of each CPU.
    cpus: BTreeMap<u16, (u64, u64, u64)>,
}
