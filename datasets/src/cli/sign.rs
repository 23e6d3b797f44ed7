//! `datasets keygen` and `datasets sign`

use std::path::PathBuf;

use datasets::{Signer, resolve, sign};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    datasets keygen key                              key and key.pub; keep key.pub where nobody can change it")]
pub struct KeygenArgs {
    /// Where the private key goes; the public one goes beside it, with .pub behind its name
    #[arg(value_name = "FILE")]
    path: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    datasets sign ./rec --sign-key key\n  \
    datasets verify ./rec --public-key key.pub")]
pub struct SignArgs {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// The private key, as 'datasets keygen' or 'openssl genpkey -algorithm ed25519' made it; only its owner may read it
    #[arg(long, value_name = "FILE")]
    sign_key: PathBuf,
}

pub fn keygen(args: &KeygenArgs) -> anyhow::Result<String> {
    let key = Signer::generate(&args.path)?;
    Ok(format!("{}\n", key.to_hex()))
}

pub fn run(args: &SignArgs) -> anyhow::Result<String> {
    let signer = Signer::read(&args.sign_key)?;
    let path = resolve(&args.recording)?;
    let manifest = sign(&path, &signer)?;
    Ok(format!("{}: signed by {}\n  chain {}\n", path.display(), signer.public_key().to_hex(), manifest.chain_head()))
}
