//! The command line's privacy part.

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct PrivacyArgs {
    /// Store likely secrets (passwords, tokens, keys) as they are, in argument vectors and TLS plaintext; by default they are
    /// replaced by '<masked:...>' before anything is written
    #[arg(long, help_heading = "Privacy")]
    pub no_mask: bool,
}
