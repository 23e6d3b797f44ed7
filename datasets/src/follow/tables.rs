//! The dimension tables as they grow.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use record_bpf::schema::{self, Column};

use crate::codec::{Codec, Source, Strings};
use crate::frame::Frames;
use crate::model::{Address, Container, Process};
use crate::read::bad_value;
use crate::{Error, Result, ipc, journal};

/// Rows that are new or have changed; a later one of the same process, container or span replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grown {
    pub processes: Vec<Process>,
    pub containers: Vec<Container>,
    pub addresses: Vec<Address>,
}

/// The tables' journals, read as far as they go.
#[derive(Default)]
pub(super) struct Tables {
    processes: Place,
    ended: Place,
    containers: Place,
    addresses: Place,
}

/// How far a file was read, and which file it was: the journal of the processes is replaced when it has grown too large.
#[derive(Default)]
struct Place {
    inode: u64,
    offset: u64,
}

impl Tables {
    pub(super) fn read(&mut self, dir: &Path, grown: &mut Grown) -> Result<()> {
        let folder = journal::folder(dir);
        let processes = schema::PROCESSES;
        self.processes.read(&folder.join(journal::PROCESSES), processes, &mut grown.processes)?;
        // After the others: these are final, and the journal of the living may still hold an older row.
        self.ended.read(&folder.join(journal::ENDED), processes, &mut grown.processes)?;
        self.containers.read(&folder.join(journal::CONTAINERS), schema::CONTAINERS, &mut grown.containers)?;
        self.addresses.read(&folder.join(journal::ADDRESSES), schema::ADDRESSES, &mut grown.addresses)
    }
}

impl Place {
    fn read<C: Codec<Value = C>>(&mut self, path: &Path, columns: &'static [Column], rows: &mut Vec<C>) -> Result<()> {
        let meta = match path.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            meta => meta.map_err(Error::read(path))?,
        };
        if meta.ino() != self.inode {
            *self = Place { inode: meta.ino(), offset: 0 };
        }
        if meta.len() <= self.offset {
            return Ok(());
        }
        let mut strings = Strings::default();
        let mut frames = match Frames::open_at(path, self.offset) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            frames => frames.map_err(Error::read(path))?,
        };
        while let Some(payload) = frames.next().map_err(Error::read(path))? {
            let (arrays, _) = ipc::read(&payload, columns)
                .map_err(|e| Error::Journal { path: path.to_owned(), reason: e.to_string() })?;
            let batch = journal::record_batch(path, columns, arrays)?;
            let mut source = Source { batch: &batch, next: 0, class: None, strings: &mut strings };
            let reader = C::reader(&mut source).map_err(|bad| bad_value(path, bad))?;
            rows.extend((0..batch.num_rows()).map(|row| C::get(&reader, row)));
            self.offset += Frames::bytes(&payload);
        }
        Ok(())
    }
}
