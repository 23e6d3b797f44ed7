//! Completing the recording of a recorder that was killed, from its journal.
//!
//! Each step leaves a recording that the next run of this goes on from: a segment is written under a temporary name, synced,
//! renamed, and listed; the journal goes last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{UInt16Type, UInt64Type};
use record_bpf::Class;
use record_bpf::schema::{self, Column};
use roaring::RoaringTreemap;
use serde::Serialize;

use crate::codec::{Codec, Source, Strings};
use crate::encode::encode;
use crate::events::{self, Key};
use crate::journal::{self, BatchReader};
use crate::losses::Losses;
use crate::manifest::{Manifest, Moment, Segment, State};
use crate::model::{Address, Container, Process};
use crate::parquet_read::Batches;
use crate::parquet_write::Written;
use crate::read::{bad_value, class_columns};
use crate::write::{
    ADDRESSES, CONTAINERS, LOSSES, PROCESSES, account_of, lock, put_table, segment_file, write_processes, write_table,
};
use crate::{Accounting, Error, Recovered, Result, hash, manifest_file, store};

/// What a recovery found and did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovery {
    pub path: PathBuf,
    /// The recording was complete already; nothing was done.
    pub was_complete: bool,
    pub state: State,
    /// Segments that were complete and in the manifest.
    pub listed: u64,
    /// Segments that were complete, and that the manifest did not list yet.
    pub adopted: u64,
    /// Segments written from the journal, and their rows.
    pub written: u64,
    pub rows: u64,
    /// Bytes of the journal that were no whole frame.
    pub torn_bytes: u64,
    pub processes: u64,
    pub containers: u64,
    pub known_until: Option<Moment>,
    /// Events that were emitted until then and did not reach the disk.
    pub unsaved: u64,
    /// Sequence numbers without a row whose class nobody knows.
    pub unattributed: u64,
}

/// Completes the recording in `dir`, unless it is complete.
///
/// # Errors
/// [`Error::Busy`] while it is being recorded; those of [`Recording::open`](crate::Recording::open); [`Error::Journal`];
/// [`Error::Write`]. After any of them it can be tried again.
pub fn recover(dir: &Path) -> Result<Recovery> {
    store::local_only(dir, "completing a recording")?;
    manifest_file::load(dir)?;
    let _lock = lock_soon(dir)?;
    // Again: the recorder may have ended between the two.
    let manifest = manifest_file::load(dir)?;
    let mut report = Recovery {
        path: dir.to_owned(),
        was_complete: manifest.state != State::Recording,
        state: manifest.state,
        listed: manifest.segments.len() as u64,
        adopted: 0,
        written: 0,
        rows: 0,
        torn_bytes: 0,
        processes: manifest.table(PROCESSES).map_or(0, |table| table.rows),
        containers: manifest.table(CONTAINERS).map_or(0, |table| table.rows),
        known_until: None,
        unsaved: 0,
        unattributed: 0,
    };
    if !report.was_complete {
        remove_temporary(dir)?;
        let account = journal::last_account(dir)?;
        let masking = account.as_ref().and_then(|account| account.masking.clone());
        let sampling = account.as_ref().and_then(|account| account.sampling.clone());
        let filter_changes = account.as_ref().map(|account| account.filter_changes.clone()).unwrap_or_default();
        let known_until = account.as_ref().map(|account| account.at.clone());
        let at = Moment::from_ns(jiff::Timestamp::now().as_nanosecond() as i64);
        let recovered = Recovered { at, known_until, rows: 0, torn_bytes: 0 };
        let mut work = Work { dir, recovered: manifest.recovered.clone().unwrap_or(recovered), manifest };
        work.segments(&mut report)?;
        work.tables(&mut report)?;
        work.manifest.masking = work.manifest.masking.take().or(masking);
        if filter_changes.len() > work.manifest.filter_changes.len() {
            work.manifest.filter_changes = filter_changes;
        }
        work.manifest.sampling = sampling.or(work.manifest.sampling.take());
        let accounting = work.account(account.map(|account| account.accounting).unwrap_or_default())?;
        let cpus = accounting.cpus.iter();
        // Of counters that somebody made up, the sum may be anything.
        report.unattributed = cpus.clone().map(|cpu| cpu.unattributed).fold(0, u64::saturating_add);
        let unsaved = cpus.flat_map(|cpu| cpu.classes.values()).map(|class| class.dropped.unsaved);
        report.unsaved = unsaved.fold(0, u64::saturating_add);
        work.losses(&accounting)?;
        work.manifest.accounting = Some(accounting);
        work.complete()?;
        (report.rows, report.torn_bytes) = (work.recovered.rows, work.recovered.torn_bytes);
        (report.state, report.known_until) = (State::Recovered, work.recovered.known_until);
    }
    // Here or in the run that was stopped before this.
    journal::remove(dir)?;
    Ok(report)
}

/// A process that the recorder was about to start has the lock, too, until it is another program.
fn lock_soon(dir: &Path) -> Result<Option<File>> {
    for _ in 0..20 {
        match lock(dir) {
            Err(Error::Busy { .. }) => thread::sleep(Duration::from_millis(25)),
            locked => return locked,
        }
    }
    lock(dir)
}

struct Work<'a> {
    dir: &'a Path,
    manifest: Manifest,
    recovered: Recovered,
}

/// What a complete segment holds.
struct Contents {
    rows: u64,
    first_ts: i64,
    last_ts: i64,
}

impl Work<'_> {
    /// Lists what is complete, and writes what is only in the journal.
    fn segments(&mut self, report: &mut Recovery) -> Result<()> {
        for (class, index) in self.found()? {
            let file = segment_file(class, index);
            let path = self.dir.join(&file);
            if self.manifest.segments.iter().any(|segment| segment.file == file) {
                continue;
            }
            if path.exists() && self.is_pruned(class, index, &path)? {
                fs::remove_file(&path).map_err(Error::write(&path))?;
                continue;
            }
            let journal = journal::folder(self.dir).join(journal::rows_file(class, index));
            if let Ok(contents) = contents(&path, class) {
                let summed = hash::of_file(&path, u64::MAX, |_| {}).map_err(Error::read(&path))?;
                self.list(file, class, contents, summed.into());
                report.adopted += 1;
            } else {
                let (batches, torn) = journal::batches(&journal, class_columns(class))?;
                self.recovered.torn_bytes += torn;
                let rows: usize = batches.iter().map(|columns| columns.first().map_or(0, |column| column.len())).sum();
                if rows == 0 {
                    continue;
                }
                let (written, (first_ts, last_ts)) =
                    encode(class, &path, batches.into(), None, None).map_err(|failed| failed.error)?;
                self.recovered.rows += rows as u64;
                let contents = Contents { rows: rows as u64, first_ts, last_ts };
                self.list(file, class, contents, written);
                report.written += 1;
            }
            self.manifest.recovered = Some(self.recovered.clone());
            manifest_file::store(self.dir, &mut self.manifest)?;
        }
        Ok(())
    }

    /// The segments that there are files or a journal of, in the order of their class and number.
    fn found(&self) -> Result<BTreeSet<(Class, u32)>> {
        let mut found = BTreeSet::new();
        for class in Class::ALL {
            for name in names(&self.dir.join(class.name()))? {
                let index = name.strip_suffix(".parquet").and_then(|index| index.parse().ok());
                found.extend(index.filter(|index| segment_file(class, *index).ends_with(&name)).map(|i| (class, i)));
            }
        }
        found.extend(names(&journal::folder(self.dir))?.iter().filter_map(|name| journal::segment_of(name)));
        Ok(found)
    }

    /// Whether an unlisted file was about to be removed, to make room, when the recorder was killed.
    fn is_pruned(&self, class: Class, index: u32, path: &Path) -> Result<bool> {
        let Some(pruned) = &self.manifest.pruned else { return Ok(false) };
        // The segments of a class are listed, and removed, in their order.
        let listed = self.manifest.class_segments(class).filter_map(|segment| {
            let name = segment.file.rsplit('/').next()?.strip_suffix(".parquet")?;
            name.parse::<u32>().ok()
        });
        if listed.min().is_some_and(|first| index < first) {
            return Ok(true);
        }
        Ok(contents(path, class).is_ok_and(|contents| contents.last_ts <= pruned.last_ts))
    }

    fn list(&mut self, file: String, class: Class, contents: Contents, written: Written) {
        let Contents { rows, first_ts, last_ts } = contents;
        let previous = hash::from_hex(&self.manifest.chain_end()).unwrap_or(hash::CHAIN_START);
        let chain = hash::hex(&hash::chain(&previous, &written.sha256));
        let class = class.name().to_owned();
        let (bytes, sha256, blocks) = (written.bytes, hash::hex(&written.sha256), Some(written.blocks));
        self.manifest.segments.push(Segment { file, class, rows, first_ts, last_ts, bytes, sha256, chain, blocks });
    }

    fn tables(&mut self, report: &mut Recovery) -> Result<()> {
        let mut processes: BTreeMap<u64, Process> =
            self.rows::<Process>(journal::PROCESSES, schema::PROCESSES)?.map(|row| (row.exec_id, row)).collect();
        for exec_id in self.ended_processes()? {
            processes.remove(&exec_id);
        }
        let mut containers: BTreeMap<_, Container> =
            self.rows::<Container>(journal::CONTAINERS, schema::CONTAINERS)?.map(|row| (row.id.clone(), row)).collect();
        let addresses: BTreeMap<_, Address> = self
            .rows::<Address>(journal::ADDRESSES, schema::ADDRESSES)?
            .map(|row| ((row.address.clone(), row.container.clone(), row.since), row))
            .collect();
        let processes: Vec<Process> = processes.into_values().collect();
        for row in addresses.values() {
            if let Some(container) = containers.get_mut(&row.container) {
                container.held(&row.address);
            }
        }
        let containers: Vec<Container> = containers.into_values().collect();
        // Killed at its very end, the recorder may have left the tables, and a journal without them.
        if journal::folder(self.dir).join(journal::PROCESSES).exists() || self.manifest.table(PROCESSES).is_none() {
            let (table, torn) = write_processes(self.dir, &processes)?;
            self.recovered.torn_bytes += torn;
            report.processes = table.rows;
            put_table(&mut self.manifest, table);
        }
        if !containers.is_empty() || self.manifest.table(CONTAINERS).is_none() {
            put_table(&mut self.manifest, write_table(self.dir, CONTAINERS, schema::CONTAINERS, &containers)?);
            report.containers = containers.len() as u64;
        }
        if !addresses.is_empty() {
            let addresses: Vec<Address> = addresses.into_values().collect();
            put_table(&mut self.manifest, write_table(self.dir, ADDRESSES, schema::ADDRESSES, &addresses)?);
        }
        Ok(())
    }

    /// The processes whose rows are final, by `exec_id`.
    fn ended_processes(&self) -> Result<RoaringTreemap> {
        let path = journal::folder(self.dir).join(journal::ENDED);
        let at = schema::PROCESSES.iter().position(|column| column.name == "exec_id").unwrap_or(0);
        let mut all = RoaringTreemap::new();
        for columns in BatchReader::open(path, schema::PROCESSES)? {
            all.extend(columns?[at].as_primitive::<UInt64Type>().values().iter().copied());
        }
        Ok(all)
    }

    fn rows<C: Codec<Value = C>>(
        &mut self,
        name: &str,
        columns: &'static [Column],
    ) -> Result<impl Iterator<Item = C> + use<C>> {
        let path = journal::folder(self.dir).join(name);
        let (batches, torn) = journal::batches(&path, columns)?;
        self.recovered.torn_bytes += torn;
        let mut strings = Strings::default();
        let mut rows = Vec::new();
        for arrays in batches {
            let batch = journal::record_batch(&path, columns, arrays)?;
            let mut source = Source { batch: &batch, next: 0, class: None, strings: &mut strings };
            let reader = C::reader(&mut source).map_err(|bad| bad_value(&path, bad))?;
            rows.extend((0..batch.num_rows()).map(|row| C::get(&reader, row)));
        }
        Ok(rows.into_iter())
    }

    /// The account as far as the recorder had noted it, made to hold for the rows that there are.
    fn account(&self, mut accounting: Accounting) -> Result<Accounting> {
        let mut rows: BTreeMap<(u16, &'static str), u64> = BTreeMap::new();
        let mut next: BTreeMap<u16, u64> = BTreeMap::new();
        for segment in &self.manifest.segments {
            let Some(class) = Class::from_name(&segment.class) else { continue };
            count(&self.dir.join(&segment.file), class, &mut rows, &mut next)?;
        }
        for account in accounting.cpus.iter_mut().flat_map(|cpu| cpu.classes.values_mut()) {
            (account.stored, account.pruned) = (0, 0);
        }
        for ((cpu, class), rows) in rows {
            account_of(&mut accounting, cpu).classes.entry(class.to_owned()).or_default().stored = rows;
        }
        for (cpu, classes) in self.manifest.pruned.iter().flat_map(|pruned| &pruned.cpus) {
            for (class, rows) in classes {
                account_of(&mut accounting, *cpu).classes.entry(class.clone()).or_default().pruned = *rows;
            }
        }
        for cpu in &mut accounting.cpus {
            let mut emitted = 0;
            for account in cpu.classes.values_mut() {
                account.dropped.unsaved = 0;
                let accounted = account.stored.saturating_add(account.without_row());
                account.dropped.unsaved = account.emitted.saturating_sub(accounted);
                // Rows beyond the last account: only where the power failed, and the disk kept one and not the other.
                account.emitted = account.emitted.max(accounted);
                emitted = account.emitted.saturating_add(emitted);
            }
            let next = next.get(&cpu.cpu).copied().unwrap_or(0);
            cpu.next_seq = cpu.next_seq.max(emitted).max(next);
            cpu.unattributed = cpu.next_seq - emitted;
        }
        accounting.cpus.sort_by_key(|account| account.cpu);
        Ok(accounting)
    }

    /// What the account says was lost. When, the recorder knew; what is left is that it was before the last account.
    fn losses(&mut self, accounting: &Accounting) -> Result<()> {
        let mut losses = Losses::default();
        losses.complete(accounting, (self.manifest.started.ns, self.ended()));
        put_table(&mut self.manifest, write_table(self.dir, LOSSES, schema::LOSSES, losses.rows())?);
        Ok(())
    }

    /// Unix time, ns.
    fn ended(&self) -> i64 {
        let last = self.manifest.segments.iter().map(|segment| segment.last_ts).max();
        let ended = last.max(self.recovered.known_until.as_ref().map(|known| known.ns));
        ended.unwrap_or(self.manifest.started.ns)
    }

    fn complete(&mut self) -> Result<()> {
        self.manifest.ended = Some(Moment::from_ns(self.ended()));
        self.manifest.recovered = Some(self.recovered.clone());
        self.manifest.state = State::Recovered;
        manifest_file::store(self.dir, &mut self.manifest)
    }
}

/// Reads a segment to its end; an error if it is not whole.
fn contents(path: &Path, class: Class) -> Result<Contents> {
    let mut batches = Batches::open(path, class_columns(class))?;
    let mut strings = Strings::default();
    let (mut rows, mut first, mut last): (u64, Option<Key>, Option<Key>) = (0, None, None);
    while let Some((batch, n)) = events::decode(&mut batches, class, &mut strings)? {
        first = first.or_else(|| Some(batch.key(0)));
        last = Some(batch.key(n - 1));
        rows += n as u64;
    }
    let ts = |key: Option<Key>| key.map_or(0, |(ts, ..)| ts);
    Ok(Contents { rows, first_ts: ts(first), last_ts: ts(last) })
}

/// Counts the rows of a segment by CPU, and the next number of each CPU.
fn count(
    path: &Path,
    class: Class,
    rows: &mut BTreeMap<(u16, &'static str), u64>,
    next: &mut BTreeMap<u16, u64>,
) -> Result<()> {
    let wanted = class_columns(class).filter(|column| matches!(column.name, "cpu" | "seq"));
    for batch in Batches::open(path, wanted)? {
        let batch = batch?;
        let cpus = batch.column(0).as_primitive::<UInt16Type>().values();
        let seqs = batch.column(1).as_primitive::<UInt64Type>().values();
        for (cpu, seq) in cpus.iter().zip(seqs) {
            *rows.entry((*cpu, class.name())).or_default() += 1;
            let next = next.entry(*cpu).or_default();
            *next = (*next).max(seq.saturating_add(1));
        }
    }
    Ok(())
}

/// What a writer leaves that is killed in the middle of a file.
fn remove_temporary(dir: &Path) -> Result<()> {
    for folder in Class::ALL.map(Class::name).into_iter().chain([""]) {
        let folder = dir.join(folder);
        for name in names(&folder)?.iter().filter(|name| name.ends_with(".tmp")) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(Error::write(&path))?;
        }
    }
    Ok(())
}

/// The names in a directory; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read { path: folder.to_owned(), source }),
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
    }
}
