//! Signing a recording while it is written.

use std::path::{Path, PathBuf};

use clap::Args;
use datasets::{Manifest, Signer};

use crate::error::Result;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Storage")]
pub struct SigningArgs {
    /// Sign the manifest, each time that it is written, with this ed25519 key (PEM, as 'datasets keygen' or 'openssl genpkey
    /// -algorithm ed25519' makes it; only its owner may read it)
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
}

impl SigningArgs {
    /// `None`: no key was given.
    pub fn signer(&self) -> Result<Option<Signer>> {
        Ok(self.sign_key.as_deref().map(Signer::read).transpose()?)
    }

    /// Signs what was changed after the recording had ended.
    pub fn sign_again(&self, dir: &Path, manifest: Manifest) -> Result<Manifest> {
        match self.signer()? {
            Some(signer) => Ok(datasets::sign(dir, &signer)?),
            None => Ok(manifest),
        }
    }
}
