//! The canonical form of a command line: argv boundaries kept, values masked by type, risk never masked.
//!
//! Never masked: the class of a destination, schemes, host names and ports; file modes; user and group ids; signal
//! numbers, process 1, and zero; names in sensitive directories; shell operators and quotes; option names; numbers under
//! a key that governs security; runs of encoded data. What was typed never reads as a mask: a literal `<` is `<lt>`.

use std::sync::Arc;

use super::address::{mask_address, split_port};
use super::knowledge::Knowledge;
use super::mask::{is_opaque, mask_embedded, mask_value};
use super::path::mask_path;
use super::shell::{Piece, raw_pieces};
use super::url::{mask_host, mask_url};

/// Separates argv elements in [`Canonical::key`] (ASCII unit separator; `<us>` where it occurs in an argument).
pub const BOUNDARY: char = '\u{1f}';

/// Stands for an empty argument list, so that `sh` alone differs from every `sh …` seen.
const NO_ARGUMENTS: &str = "<none>";
const TRUNCATED: &str = "<truncated>";

/// Programs (and `sh -c` commands) whose numbers are modes, ids or signals.
const NUMBERS_MATTER: &[&str] = &[
    "chmod",
    "chown",
    "chgrp",
    "install",
    "umask",
    "mkdir",
    "mknod",
    "mkfifo",
    "kill",
    "pkill",
    "killall",
    "setpriv",
    "su",
    "sudo",
    "runuser",
    "chroot",
    "unshare",
    "nsenter",
    "useradd",
    "usermod",
    "sysctl",
    "setenforce",
    "iptables",
    "nft",
    "setcap",
    "xxd",
    "printf",
    "nc",
    "ncat",
    "socat",
];

/// Programs whose plain numbers above 1 are processes: which one says nothing, 1 and whole groups (-1, 0) do.
const PIDS: &[&str] = &["kill", "strace", "gdb", "nsenter", "renice", "pidwait", "jstack", "jmap", "gcore"];

/// Options whose number is a mode, an id or a port.
const OPTIONS_MATTER: &[&str] = &[
    "--mode",
    "-u",
    "--uid",
    "--user",
    "-g",
    "--gid",
    "--group",
    "--reuid",
    "--regid",
    "--userspec",
    "-p",
    "-P",
    "--port",
    "-perm",
    "-uid",
    "-gid",
    "--chmod",
    "--chown",
    "--owner",
    "umask",
    "fmask",
    "dmask",
    "--umask",
    "dport",
    "--dport",
    "--sport",
    "mode",
    "uid",
    "gid",
    "user",
    "group",
    "port",
];

/// A canonical command line, without the program itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical {
    key: Arc<str>,
}

impl Canonical {
    /// Builds the canonical form of `argv` as run by `exe`. `argv[0]` is dropped when it names the executable and kept
    /// as `argv0:NAME` when it claims to be something else.
    pub fn new<S: AsRef<str>>(exe: &str, argv: &[S], truncated: bool) -> Self {
        let program = basename(exe);
        let mut elements: Vec<String> = Vec::with_capacity(argv.len());
        if let Some(claimed) = argv.first().map(AsRef::as_ref) {
            let claimed_name = basename(claimed.trim_start_matches('-'));
            // `nginx: worker process` is a title that the program gave itself, still its own name.
            if claimed_name != program && !claimed.starts_with(&format!("{program}:")) {
                elements.push(format!("argv0:{}", mask_path(claimed)));
            }
        }
        let mut context = Context { command: program.to_owned(), previous: String::new() };
        for arg in argv.iter().skip(1) {
            elements.push(context.argument(arg.as_ref()));
        }
        if truncated {
            elements.push(TRUNCATED.to_owned());
        }
        if elements.is_empty() {
            elements.push(NO_ARGUMENTS.to_owned());
        }
        Self::from_elements(elements)
    }

    /// The raw arguments as they are, for comparing with masks switched off.
    pub fn verbatim<S: AsRef<str>>(argv: &[S], truncated: bool) -> Self {
        let mut elements: Vec<String> = argv.iter().skip(1).map(|arg| arg.as_ref().replace('<', "<lt>")).collect();
        if truncated {
            elements.push(TRUNCATED.to_owned());
        }
        if elements.is_empty() {
            elements.push(NO_ARGUMENTS.to_owned());
        }
        Self::from_elements(elements)
    }

    fn from_elements(elements: Vec<String>) -> Self {
        let clean: Vec<_> = elements.into_iter().map(|element| element.replace(BOUNDARY, "<us>")).collect();
        Self { key: clean.join(&BOUNDARY.to_string()).into() }
    }

    /// Rebuilds a canonical form from a stored [`Canonical::key`].
    pub fn from_key(key: impl Into<Arc<str>>) -> Self {
        Self { key: key.into() }
    }

    /// The identity of the pattern: its elements joined by [`BOUNDARY`].
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The pattern for people and for the embedding model: elements with spaces in quotes.
    pub fn text(&self) -> String {
        let quoted = self.key.split(BOUNDARY).map(|element| {
            if element.is_empty() || element.contains(' ') { format!("\"{element}\"") } else { element.to_owned() }
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// The words of all elements, shell operators among them.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.key.split([BOUNDARY, ' ']).filter(|token| !token.is_empty())
    }
}

/// The last segment of a path.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the words before the current one say about it.
struct Context {
    /// The command the words belong to: the program, or the current command of a shell string.
    command: String,
    previous: String,
}

impl Context {
    fn argument(&mut self, arg: &str) -> String {
        let script = self.previous == "-c" || arg.contains(char::is_whitespace);
        if !script {
            return self.word(arg);
        }
        let outer = std::mem::take(&mut self.command);
        let mut command_next = true;
        let mut words = Vec::new();
        for piece in raw_pieces(arg) {
            match piece {
                Piece::Operator(operator) => {
                    command_next = true;
                    self.previous.clear();
                    words.push(operator.to_owned());
                }
                Piece::Word(word) => {
                    if std::mem::take(&mut command_next) {
                        basename(word).clone_into(&mut self.command);
                    }
                    words.push(self.quoted(word));
                }
            }
        }
        self.command = outer;
        self.previous = arg.to_owned();
        words.join(" ")
    }

    /// A word of a shell string. Quotes stay; what they hold is masked word by word.
    fn quoted(&mut self, word: &str) -> String {
        let quote = word.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inside = quote.and_then(|quote| word.strip_prefix(quote)?.strip_suffix(quote)).filter(|_| word.len() >= 2);
        let (Some(quote), Some(inside)) = (quote, inside) else { return self.word(word) };
        let words: Vec<_> = inside.split(' ').map(|word| self.word(word)).collect();
        format!("{quote}{}{quote}", words.join(" "))
    }

    fn word(&mut self, word: &str) -> String {
        let masked = self.mask(&word.replace('<', "<lt>"));
        self.previous = word.to_owned();
        masked
    }

    fn mask(&self, word: &str) -> String {
        let command = self.command.as_str();
        if is_plain_number(word) {
            let process = word.bytes().all(|b| b.is_ascii_digit()) && !matches!(word, "0" | "1");
            if PIDS.contains(&command) && process && !matches!(self.previous.as_str(), "-s" | "-n" | "--signal") {
                return "<pid>".to_owned();
            }
            let numbers_matter = NUMBERS_MATTER.contains(&command)
                || OPTIONS_MATTER.contains(&self.previous.as_str())
                || Knowledge::get().is_security(&self.previous);
            if numbers_matter {
                return word.to_owned();
            }
        }
        if is_opaque(word) {
            return word.to_owned();
        }
        if let Some(url) = mask_url(word) {
            return url;
        }
        if let Some((key, value)) = word.split_once('=').filter(|(key, _)| is_key(key)) {
            let kept =
                OPTIONS_MATTER.contains(&key.rsplit('.').next().unwrap_or(key)) || Knowledge::get().is_security(key);
            if kept && is_plain_number(value) {
                return word.to_owned();
            }
            let inner = Context { command: self.command.clone(), previous: String::new() };
            return format!("{key}={}", inner.mask(value));
        }
        if let Some(address) = mask_address(word) {
            return address;
        }
        if let Some(masked) = mask_value(word) {
            return masked;
        }
        if let Some((host, path)) = word.split_once(':').filter(|(host, path)| is_remote(host, path)) {
            return format!("{}:{}", mask_user_host(host), mask_path(path));
        }
        if word.starts_with('-') {
            return mask_option(word);
        }
        if word.contains('/') {
            return word.split(':').map(mask_marked_path).collect::<Vec<_>>().join(":");
        }
        if split_port(word).is_some_and(|(host, _)| !host.contains(',')) {
            return mask_host(word);
        }
        mask_embedded(word)
    }
}

/// The sides of `host:path` and `user@host:/path`, as rsync and scp take them.
fn is_remote(host: &str, path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    !host.is_empty()
        && host.chars().all(plain)
        && (path.starts_with(['/', '~', '.']) || (host.contains('@') && path.contains('/')))
}

/// A path behind punctuation, as `@/srv/data` of curl or `"/srv/data"` of JSON.
fn mask_marked_path(text: &str) -> String {
    let start = text.find('/').filter(|at| {
        text[..*at].bytes().all(|b| b.is_ascii_punctuation() && !matches!(b, b'.' | b'~' | b'_' | b'-' | b'>'))
    });
    match start {
        Some(at) => format!("{}{}", &text[..at], mask_path(&text[at..])),
        None => mask_path(text),
    }
}

fn mask_user_host(text: &str) -> String {
    let host = |host: &str| mask_address(host).unwrap_or_else(|| host.to_owned());
    text.split_once('@').map_or_else(|| host(text), |(user, name)| format!("{user}@{}", host(name)))
}

/// `-j8` → `-j<num>`, `-Xmx512m` → `-Xmx<num>m`, `-o/srv/1.log` → `-o/srv/<num>.log`. A number right after -p, -P, -u, -g or -m is
/// kept, as one after the option alone would be; so is one in a word that has more to it.
fn mask_option(word: &str) -> String {
    if let Some(slash) = word.find('/') {
        return format!("{}{}", &word[..slash], mask_path(&word[slash..]));
    }
    let Some(at) = word.find(|c: char| c.is_ascii_digit()) else { return word.to_owned() };
    let (name, value) = word.split_at(at);
    let plain = name.len() > 1 && !name.starts_with("--") && name[1..].bytes().all(|b| b.is_ascii_alphabetic());
    match mask_value(value).filter(|_| plain && !OPTIONS_MATTER.contains(&name)) {
        Some(masked) => format!("{name}{masked}"),
        None => word.to_owned(),
    }
}

/// Digits, possibly signed or in groups as a mode (`0755`), ids (`1000:1000`) or a signal (`-9`).
fn is_plain_number(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b',' | b'+'))
}

/// The left side of `key=value`, `--key=value` or `-XX:Key=value`.
pub fn is_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    !key.is_empty() && key.bytes().all(plain) && (key.starts_with('-') || !key.contains(':') || key.contains("::"))
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
