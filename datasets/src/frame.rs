//! Frames: what a journal is made of. Each says how long it is and carries a checksum, so that a file which was cut off
//! in the middle of a write is read up to the cut and no further.
//!
//! ```text
//! magic "RSJ1" | payload length, u32 | CRC-32 of length and payload, u32 | payload
//! ```
//! Numbers are little-endian.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAGIC: [u8; 4] = *b"RSJ1";
const HEADER: usize = 12;

/// A frame under construction: the payload is written straight behind room for the header.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    pub(crate) fn new() -> Frame {
        Frame(vec![0; HEADER])
    }

    /// The bytes as they go to the file.
    pub(crate) fn seal(mut self) -> io::Result<Vec<u8>> {
        let (header, payload) = self.0.split_at_mut(HEADER);
        let length = u32::try_from(payload.len()).map_err(|_| io::Error::other("a frame of more than 4 GiB"))?;
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..].copy_from_slice(&checksum(length, payload).to_le_bytes());
        Ok(self.0)
    }
}

impl Write for Frame {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Appends to a file that only its owner can read. It is opened and closed each time: a file system with no file open
/// for writing can be remounted read-only, and a directory that was removed is noticed.
pub(crate) fn append(path: &Path, sealed: &[u8], create: bool) -> io::Result<()> {
    OpenOptions::new().append(true).create(create).mode(0o600).open(path)?.write_all(sealed)
}

/// The frames of a file, up to the first that is not whole.
pub(crate) struct Frames {
    file: BufReader<File>,
    /// Bytes of the file not yet given out.
    left: u64,
    torn: u64,
}

impl Frames {
    pub(crate) fn open(path: &Path) -> io::Result<Frames> {
        Frames::open_at(path, 0)
    }

    /// From `offset` on, where a frame begins.
    pub(crate) fn open_at(path: &Path, offset: u64) -> io::Result<Frames> {
        let mut file = File::open(path)?;
        let left = file.metadata()?.len().saturating_sub(offset);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Frames { file: BufReader::with_capacity(1 << 16, file), left, torn: 0 })
    }

    /// The next payload; `None` at the end, or where a frame was torn.
    ///
    /// # Errors
    /// Those of reading the file; a torn frame is none.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.torn > 0 || self.left == 0 {
            return Ok(None);
        }
        let payload = self.whole()?;
        match &payload {
            Some(payload) => self.left -= Frames::bytes(payload),
            None => (self.torn, self.left) = (self.left, 0),
        }
        Ok(payload)
    }

    /// What a frame with this payload takes in the file.
    pub(crate) fn bytes(payload: &[u8]) -> u64 {
        (HEADER + payload.len()) as u64
    }

    fn whole(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left < HEADER as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(4);
        if header[..4] != MAGIC || u64::from(length) > self.left - HEADER as u64 {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        self.file.read_exact(&mut payload)?;
        Ok((checksum(length, &payload) == word(8)).then_some(payload))
    }

    /// Bytes at the end that are no whole frame. Known once [`Frames::next`] has given `None`.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::new();
        frame.write_all(payload).unwrap();
        frame.seal().unwrap()
    }

    fn read(path: &Path) -> (Vec<Vec<u8>>, u64) {
        let mut frames = Frames::open(path).unwrap();
        let mut all = Vec::new();
        while let Some(payload) = frames.next().unwrap() {
            all.push(payload);
        }
        (all, frames.torn())
    }

    #[test]
    fn a_file_cut_off_anywhere_gives_its_whole_frames_and_counts_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let payloads: [&[u8]; 3] = [b"first", b"", b"the third, a longer one"];
        let mut ends = vec![0];
        let mut bytes = Vec::new();
        for payload in payloads {
            bytes.extend(frame(payload));
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (found, torn) = read(&path);
            assert_eq!(found, payloads[..whole], "cut at {cut}");
            assert_eq!(torn as usize, cut - ends[whole], "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_bit_or_zeros_from_a_power_cut_end_the_journal_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let good = frame(b"good");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, [good.clone(), bad].concat()).unwrap();
            assert_eq!(read(&path), (vec![b"good".to_vec()], good.len() as u64), "bit {bit}");
        }
        std::fs::write(&path, [good.clone(), vec![0; 4096]].concat()).unwrap();
        assert_eq!(read(&path), (vec![b"good".to_vec()], 4096));
    }
}
