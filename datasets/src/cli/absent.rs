//! `datasets absent`

use datasets::{Recording, words};

const EXAMPLES: &str = "Examples:\n  \
    datasets absent ./rec \"$(uname -n)\" alice    neither the host nor the user is named in it\n  \
    datasets absent xmrig /home/alice            nor a path";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// Words or absolute paths
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
}

/// Characters shown of a text that has a word.
const SHOWN: usize = 120;

/// Returns the text, and whether none of the words was found.
pub fn run(args: &Args) -> anyhow::Result<(String, bool)> {
    let recording = Recording::find(&args.recording)?;
    let found = words::occurrences(&recording, &args.words)?;
    if found.is_empty() {
        let name = recording.dir().display();
        return Ok((format!("{name}: none of {} words is in it\n", args.words.len()), true));
    }
    let line = |found: &words::Found| {
        let text: String = found.text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        format!("{} {}: {} in {} texts, as {text}\n", found.file, found.column, found.word, found.texts)
    };
    Ok((found.iter().map(line).collect(), false))
}
