//! The command line's privacy part.

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct PrivacyArgs {
    /// Store likely secrets (passwords, tokens, keys) as they are, in argument vectors and TLS plaintext; by default they are
    /// replaced by '<masked:...>' before anything is written
    #[arg(long, help_heading = "Privacy")]
    pub no_mask: bool,
    /// Run as this user once the programs are attached; the recording becomes theirs
    #[arg(long, value_name = "NAME", help_heading = "Privacy", conflicts_with_all = ["scenario", "keep_privileges"])]
    pub user: Option<String>,
    /// Keep all privileges while recording, instead of the few that are needed
    #[arg(long, help_heading = "Privacy")]
    pub keep_privileges: bool,
}
