//! Who wrote a recording: an ed25519 signature over the manifest's digest and the end of the chain, inside the manifest.
//!
//! The digest covers the manifest's text with the values of `digest` and `signature` empty, and with it the hash of every
//! listed file. Keys are PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::hash::hex;
use crate::manifest::Manifest;
use crate::report::{FindingKind, Findings};
use crate::{Error, Result, manifest_file};

const ALGORITHM: &str = "ed25519";

/// What is signed begins with this, so that a signature of something else never fits.
const DOMAIN: &[u8] = b"retroscope manifest 1\0";

/// A signature, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Always `ed25519`.
    pub algorithm: String,
    /// The signer's, 32 bytes in hex.
    pub public_key: String,
    /// 64 bytes in hex.
    pub value: String,
}

/// A private key. It is wiped from memory when it is dropped.
pub struct Signer(SigningKey);

/// The key that a recording should be signed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl Signer {
    /// Reads a PKCS#8 PEM file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Key`] for a file that others can read, or that is no such key.
    pub fn read(path: &Path) -> Result<Signer> {
        let mut file = File::open(path).map_err(Error::read(path))?;
        let mode = file.metadata().map_err(Error::read(path))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(key(path, format!("others can read this private key (mode {mode:04o}): chmod 600 it")));
        }
        let mut text = Vec::new();
        let read = Read::by_ref(&mut file).take(1 << 16).read_to_end(&mut text).map_err(Error::read(path));
        let parsed = read.and_then(|_| {
            let pem = std::str::from_utf8(&text).map_err(|_| key(path, "it is not PEM".to_owned()))?;
            SigningKey::from_pkcs8_pem(pem)
                .map_err(|error| key(path, format!("not an ed25519 private key in PKCS#8 PEM: {error}")))
        });
        text.fill(0);
        std::hint::black_box(&text);
        parsed.map(Signer)
    }

    /// Makes a key pair: `path` (mode 0600), and the public key in `path` with `.pub` behind it.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Write`]; [`Error::Read`] if there is no `/dev/urandom`.
    pub fn generate(path: &Path) -> Result<PublicKey> {
        let public = path.with_added_extension("pub");
        if let Some(there) = [path, &public].into_iter().find(|path| path.exists()) {
            return Err(Error::Exists { path: there.to_owned() });
        }
        let mut secret = [0; 32];
        let source = Path::new("/dev/urandom");
        File::open(source).and_then(|mut file| file.read_exact(&mut secret)).map_err(Error::read(source))?;
        let signer = SigningKey::from_bytes(&secret);
        // Without the public key inside: OpenSSL before 3.0 does not read the form that has it.
        let pair = KeypairBytes { secret_key: secret, public_key: None };
        secret.fill(0);
        let not_made = |error: &dyn std::fmt::Display| key(path, error.to_string());
        let private = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| not_made(&error))?;
        let text = signer.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|error| not_made(&error))?;
        let written = manifest_file::create_private(path).and_then(|mut file| {
            file.write_all(private.as_bytes())?;
            file.sync_all()
        });
        written.map_err(Error::write(path))?;
        fs::write(&public, text).map_err(Error::write(&public))?;
        Ok(PublicKey(signer.verifying_key()))
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// What stands in the manifest while its digest is computed.
    pub(crate) fn blank(&self) -> Signature {
        let public_key = hex(self.0.verifying_key().as_bytes());
        Signature { algorithm: ALGORITHM.to_owned(), public_key, value: String::new() }
    }

    /// `manifest`: with its digest.
    pub(crate) fn sign(&self, manifest: &Manifest) -> String {
        hex(&self.0.sign(&message(manifest)).to_bytes())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public_key().to_hex())
    }
}

impl PublicKey {
    /// Reads an SPKI PEM file, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Key`].
    pub fn read(path: &Path) -> Result<PublicKey> {
        let pem = fs::read_to_string(path).map_err(Error::read(path))?;
        let parsed = VerifyingKey::from_public_key_pem(&pem);
        parsed.map(PublicKey).map_err(|error| key(path, format!("not an ed25519 public key in PEM: {error}")))
    }

    pub fn to_hex(&self) -> String {
        hex(self.0.as_bytes())
    }
}

fn key(path: &Path, reason: String) -> Error {
    Error::Key { path: path.to_owned(), reason }
}

fn message(manifest: &Manifest) -> Vec<u8> {
    [DOMAIN, manifest.digest.as_bytes(), b"\0", manifest.chain_end().as_bytes()].concat()
}

/// Of the exact form that [`hex`] gives.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (hex(&bytes) == text).then_some(bytes)
}

/// Judges a manifest's signature. `wanted`: the key it should be of; `None`: whichever it names.
pub(crate) fn check(manifest: &Manifest, wanted: Option<&PublicKey>, findings: &mut Findings) {
    let place = manifest_file::MANIFEST;
    let Some(signature) = &manifest.signature else {
        if wanted.is_some() {
            findings.add(FindingKind::Unsigned, place, "a signature was asked for, and there is none");
        }
        return;
    };
    let named = from_hex(&signature.public_key).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let value = from_hex(&signature.value).map(|bytes| ed25519_dalek::Signature::from_bytes(&bytes));
    let holds = match (named, value) {
        (Some(key), Some(value)) if signature.algorithm == ALGORITHM => {
            key.verify_strict(&message(manifest), &value).is_ok()
        }
        _ => false,
    };
    if !holds {
        let detail = "the signature is not one of this manifest: one of the two was changed";
        findings.add(FindingKind::BrokenSignature, place, detail);
    }
    if let Some(wanted) = wanted.filter(|wanted| wanted.to_hex() != signature.public_key) {
        let detail = format!("signed by {}, not by {}", signature.public_key, wanted.to_hex());
        findings.add(FindingKind::OtherKey, place, detail);
    }
}

/// Signs a finished recording, or signs it anew: after labels were added, or it was recovered.
///
/// # Errors
/// Those of [`Recording::open`](crate::Recording::open); [`Error::ForeignManifest`] if the manifest was changed since it was
/// written; [`Error::Write`]. Only the manifest is looked at: verify the recording before.
pub fn sign(dir: &Path, signer: &Signer) -> Result<Manifest> {
    let (mut manifest, text) = manifest_file::load_text(dir)?;
    if !manifest_file::seal_holds(&manifest, &text) {
        let reason = "its digest differs: it was changed after it was written".to_owned();
        return Err(Error::ForeignManifest { path: manifest_file::path(dir), reason });
    }
    manifest_file::store_signed(dir, &mut manifest, Some(signer))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_one_form() {
        assert_eq!(from_hex::<2>("0aff"), Some([10, 255]));
        for other in ["0AFF", "0aF", "0aff0", "+aff", "zzzz"] {
            assert_eq!(from_hex::<2>(other), None, "{other}");
        }
    }
}
