//! Where an ONNX graph keeps the weights that are not in its own file.
//!
//! A graph over 2 GiB names other files for its tensors ("external data"). They are part of the model: a model of the same
//! shape with other weights may have the very same `.onnx`. So the names are read out of the file, which is a protobuf
//! message; of its fields (onnx.proto) only those are followed that lead to a tensor, everything else is skipped unread.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Result};
use std::path::{Component, Path};

/// Messages on the way to a tensor's external data, with the field numbers of onnx.proto.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    /// StringStringEntryProto
    Entry,
}

impl Message {
    /// The message in a field, if it leads on.
    fn below(self, field: u64) -> Option<Message> {
        match (self, field) {
            (Message::Model, 7) => Some(Message::Graph),
            (Message::Graph, 1) => Some(Message::Node),
            (Message::Graph, 5) => Some(Message::Tensor),
            (Message::Node, 5) => Some(Message::Attribute),
            (Message::Attribute, 5 | 10) => Some(Message::Tensor),
            (Message::Attribute, 6 | 11) => Some(Message::Graph),
            (Message::Tensor, 13) => Some(Message::Entry),
            _ => None,
        }
    }
}

/// Graphs within graphs (If, Loop) are rare, and two deep at most.
const DEEPEST: usize = 64;
/// A file's name.
const LONGEST: u64 = 4096;

/// Names of the files beside the graph that hold its weights, in order.
pub(super) fn files(path: &Path) -> Result<BTreeSet<String>> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut walk = Walk { reader: BufReader::new(file), at: 0, found: BTreeSet::new() };
    walk.message(Message::Model, end, 0)?;
    Ok(walk.found)
}

struct Walk {
    reader: BufReader<File>,
    at: u64,
    found: BTreeSet<String>,
}

impl Walk {
    fn message(&mut self, message: Message, end: u64, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(bad("its messages are nested too deeply"));
        }
        // Of an entry: key and value.
        let mut entry = [String::new(), String::new()];
        while self.at < end {
            let key = self.varint()?;
            let (field, wire) = (key >> 3, key & 7);
            match wire {
                0 => {
                    self.varint()?;
                }
                1 => self.skip(8, end)?,
                5 => self.skip(4, end)?,
                2 => {
                    let length = self.varint()?;
                    let stop = self.at.checked_add(length).filter(|stop| *stop <= end).ok_or_else(cut)?;
                    match (message, message.below(field)) {
                        (_, Some(below)) => self.message(below, stop, depth + 1)?,
                        (Message::Entry, None) if matches!(field, 1 | 2) => {
                            entry[field as usize - 1] = self.text(length)?;
                        }
                        _ => self.skip(length, end)?,
                    }
                }
                _ => return Err(bad("it is no ONNX graph")),
            }
        }
        if let (Message::Entry, [key, value]) = (message, entry)
            && key == "location"
        {
            let is_beside =
                Path::new(&value).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if value.is_empty() || !is_beside {
                return Err(bad("it names weights outside its own folder"));
            }
            self.found.insert(value);
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.reader.read_exact(&mut byte).map_err(|_| cut())?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("it is no ONNX graph"))
    }

    fn text(&mut self, length: u64) -> Result<String> {
        if length > LONGEST {
            return Err(bad("it is no ONNX graph"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(|_| cut())?;
        self.at += length;
        String::from_utf8(bytes).map_err(|_| bad("it is no ONNX graph"))
    }

    fn skip(&mut self, length: u64, end: u64) -> Result<()> {
        self.at = self.at.checked_add(length).filter(|at| *at <= end).ok_or_else(cut)?;
        // A seek of an i64 does for any file there is.
        self.reader.seek_relative(i64::try_from(length).map_err(|_| cut())?)
    }
}

fn bad(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

fn cut() -> Error {
    bad("it is cut off, or no ONNX graph")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            out.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(content);
        out
    }

    fn tensor(location: &str) -> Vec<u8> {
        let entry =
            |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        [vec![1 << 3, 3], entry("location", location), entry("offset", "128")].concat()
    }

    fn names(bytes: &[u8]) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Ok(files(file.path())?.into_iter().collect())
    }

    #[test]
    fn weights_are_found_in_initialisers_constants_and_inner_graphs() {
        let inner = field(6, &field(5, &tensor("c.data")));
        let nodes = [field(1, &field(5, &field(5, &tensor("b.data")))), field(1, &field(5, &inner))].concat();
        let graph = [nodes, field(5, &tensor("a.data")), field(5, &tensor("a.data"))].concat();
        let model = [vec![1 << 3, 8], field(2, b"somebody"), field(7, &graph)].concat();
        assert_eq!(names(&model).unwrap(), ["a.data", "b.data", "c.data"]);
        assert_eq!(names(b"").unwrap(), [""; 0]);
        for cut in 1..model.len() {
            // Wherever it is cut, it is an error or finds less: never a panic.
            assert!(names(&model[..cut]).is_ok_and(|names| names.len() <= 3) || names(&model[..cut]).is_err());
        }
        assert!(names(&model[..model.len() - 1]).unwrap_err().to_string().contains("cut off"));
    }

    #[test]
    fn weights_elsewhere_are_refused() {
        for location in ["/etc/passwd", "../../secret", ""] {
            let error = names(&field(7, &field(5, &tensor(location)))).unwrap_err();
            assert!(error.to_string().contains("outside"), "{error}");
        }
    }
}
