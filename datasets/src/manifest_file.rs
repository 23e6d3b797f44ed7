//! Reading and atomically writing `manifest.json`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use record_bpf::schema;

use crate::hash::{self, HashOnly};
use crate::manifest::{FORMAT_VERSION, KIND, Manifest};
use crate::signature::{Signature, Signer};
use crate::{Error, Result, store};

pub(crate) const MANIFEST: &str = "manifest.json";

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(MANIFEST)
}

/// Reads the manifest of the recording in `dir`, and checks that this build knows its versions.
pub(crate) fn load(dir: &Path) -> Result<Manifest> {
    load_text(dir).map(|(manifest, _)| manifest)
}

/// As [`load`], with the text as it is on disk.
pub(crate) fn load_text(dir: &Path) -> Result<(Manifest, String)> {
    let path = path(dir);
    if store::is_remote(dir) {
        let bytes = store::read(&path).map_err(|error| match error {
            Error::MissingFile { .. } => Error::NoManifest { path: dir.to_owned() },
            other => other,
        })?;
        return parse(path, bytes.into());
    }
    match fs::metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotFound { path: dir.to_owned(), reason: "it does not exist" });
        }
        Err(source) => return Err(Error::Read { path: dir.to_owned(), source }),
        Ok(meta) if !meta.is_dir() => {
            return Err(Error::NotFound { path: dir.to_owned(), reason: "it is not a directory" });
        }
        Ok(_) => {}
    }
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NoManifest { path: dir.to_owned() }),
        read => read.map_err(Error::read(&path))?,
    };
    parse(path, bytes)
}

fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<(Manifest, String)> {
    let foreign = |reason: String| Error::ForeignManifest { path: path.clone(), reason };
    let text = String::from_utf8(bytes).map_err(|_| foreign("it is not UTF-8".to_owned()))?;
    // In two steps, so that a foreign file is told from a damaged one and versions are judged before the fields.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| foreign(format!("not JSON: {e}")))?;
    let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    match field("kind") {
        Some(kind) if kind == KIND => {}
        Some(kind) => return Err(foreign(format!("its kind is {kind:?}"))),
        None => return Err(foreign(format!("it has no \"kind\": {KIND:?}"))),
    }
    let version = |what: &'static str, name: &str, known: &str| match field(name) {
        None => Err(foreign(format!("it has no {name}"))),
        Some(found) if major(&found) == major(known) => Ok(()),
        Some(found) => Err(Error::UnknownVersion { path: path.clone(), what, found, known: known.to_owned() }),
    };
    version("format", "format_version", FORMAT_VERSION)?;
    version("schema", "schema_version", schema::VERSION)?;
    let manifest = serde_json::from_value(value).map_err(|e| foreign(e.to_string()))?;
    Ok((manifest, text))
}

fn major(version: &str) -> &str {
    version.split_once('.').map_or(version, |(major, _)| major)
}

/// Replaces the manifest in one step: a reader sees the old or the new one, also after a crash.
///
/// A signature it had goes: it was one of the old text.
pub(crate) fn store(dir: &Path, manifest: &mut Manifest) -> Result<()> {
    store_signed(dir, manifest, None)
}

/// As [`store`], with a signature.
pub(crate) fn store_signed(dir: &Path, manifest: &mut Manifest, signer: Option<&Signer>) -> Result<()> {
    store::local_only(dir, "writing or changing a recording")?;
    seal(manifest, signer);
    let path = path(dir);
    let temporary = dir.join(".manifest.json.tmp");
    let written = create_private(&temporary)
        .map(BufWriter::new)
        .and_then(|mut file| render(manifest, &mut file).map(|()| file))
        .and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all())
        .and_then(|()| fs::rename(&temporary, &path))
        .and_then(|()| sync_dir(dir));
    written.map_err(|source| {
        // The old manifest stands; what was begun must not take space on a full disk.
        let _ = fs::remove_file(&temporary);
        Error::Write { path, source }
    })
}

/// Writes a file that is not there yet, and brings it to the disk. What was begun goes.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = create_private(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| {
        let _ = fs::remove_file(path);
        Error::Write { path: path.to_owned(), source }
    })
}

/// Fills in the digest and the signature.
fn seal(manifest: &mut Manifest, signer: Option<&Signer>) {
    manifest.digest.clear();
    manifest.signature = signer.map(Signer::blank);
    let mut hasher = HashOnly::new();
    // Strings, integers and lists of them into memory: nothing could fail.
    let _ = render(manifest, &mut hasher);
    manifest.digest = hash::hex(&hasher.finish());
    if let Some(signer) = signer {
        let value = signer.sign(manifest);
        manifest.signature.iter_mut().for_each(|signature| signature.value.clone_from(&value));
    }
}

/// Writes the manifest's text piece by piece: after a day it has megabytes, and is written every minute.
fn render(manifest: &Manifest, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, manifest)?;
    out.write_all(b"\n")
}

/// Bytes that the manifest takes, about.
pub(crate) fn size(manifest: &Manifest) -> u64 {
    // A segment's entry has 450 bytes, its name, and up to 1 KiB of digests of its parts; the account 150 for each CPU and class.
    let segments = 512 * manifest.segments.len() as u64 + manifest.segments.totals().digests;
    4096 + segments + 2048 * manifest.accounting.iter().flat_map(|a| &a.cpus).count() as u64
}

/// Whether `text` is exactly what was sealed with the digest it carries.
pub(crate) fn seal_holds(manifest: &Manifest, text: &str) -> bool {
    if manifest.digest.is_empty() || text.matches(&manifest.digest).count() != 1 {
        return false;
    }
    let mut blank = text.replacen(&manifest.digest, "", 1);
    if let Some(Signature { value, .. }) = &manifest.signature {
        if value.is_empty() || blank.matches(value).count() != 1 {
            return false;
        }
        blank = blank.replacen(value, "", 1);
    }
    hash::hex(&hash::of_bytes(blank.as_bytes())) == manifest.digest
}

/// Makes a directory, and those above it, that only their owner can enter.
pub(crate) fn make_dirs(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::write(path))
}

/// Makes the directory of a new recording, or takes one that is empty.
pub(crate) fn make_empty_dir(dir: &Path) -> Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(Error::Exists { path: dir.to_owned() }),
            None => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => make_dirs(dir),
        Err(_) if dir.is_file() => Err(Error::Exists { path: dir.to_owned() }),
        Err(source) => Err(Error::Write { path: dir.to_owned(), source }),
    }
}

/// Makes a directory of a recording, if it is not there. A recording that was removed is not made anew.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(Error::write(path)),
    }
}

/// Creates or replaces a file that only its owner can read.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Makes renames in `dir` survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
