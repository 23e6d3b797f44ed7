//! The table of what is risky on a command line (`replay/args/risk.toml`), read once.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use serde::Deserialize;

const TABLE: &str = include_str!("../../args/risk.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    pub keys: Keys,
    pub commands: Commands,
    pub paths: Paths,
    pub names: Names,
    pub text: Text,
    program: BTreeMap<String, Program>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub security: Vec<String>,
    pub code: Vec<String>,
    pub network: Vec<String>,
    pub loose: HashSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    pub interpreter: HashSet<String>,
    pub network: HashSet<String>,
    pub control: HashSet<String>,
    pub discovery: HashSet<String>,
    pub harmless: HashSet<String>,
    pub wrapper: HashSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    pub credential: Vec<String>,
    pub persistence: Vec<String>,
    pub temporary: Vec<String>,
    pub served: Vec<String>,
    pub whole: HashSet<String>,
    pub system: Vec<String>,
    pub code: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    pub public: HashSet<String>,
    pub internal: HashSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub danger: HashSet<String>,
    pub secret: Vec<String>,
    pub look: HashSet<String>,
}

/// One program. Keys as described in the table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Program {
    pub danger: BTreeMap<String, f32>,
    pub words: BTreeMap<String, f32>,
    pub safe: HashSet<String>,
    pub loads: Vec<String>,
    pub long: bool,
    pub free: bool,
    pub copies: bool,
    pub remote: bool,
    /// Options of one letter that take a value.
    pub takes: String,
}

/// Names under which a program is known that is in the table under another.
const ALIASES: &[(&str, &str)] = &[
    ("nodejs", "node"),
    ("podman", "docker"),
    ("nerdctl", "docker"),
    ("apt", "apt-get"),
    ("aptitude", "apt-get"),
    ("mariadb", "mysql"),
    ("mariadb-dump", "mysqldump"),
    ("mariadbd", "mysqld"),
    ("pg_restore", "pg_dump"),
    ("mongosh", "mongo"),
    ("gawk", "awk"),
    ("mawk", "awk"),
    ("nawk", "awk"),
    ("egrep", "grep"),
    ("fgrep", "grep"),
    ("g++", "gcc"),
    ("cc", "gcc"),
    ("clang", "gcc"),
    ("gpg2", "gpg"),
    ("magick", "convert"),
    ("ffprobe", "ffmpeg"),
    ("ansible", "ansible-playbook"),
    ("adduser", "useradd"),
    ("ip6tables", "iptables"),
    ("nft", "iptables"),
    ("chgrp", "chown"),
    ("pypy", "python"),
    ("vi", "vim"),
    ("nvim", "vim"),
    ("gsutil", "rclone"),
    ("luajit", "lua"),
    ("bsdtar", "tar"),
    ("gtar", "tar"),
    ("postmaster", "postgres"),
    ("tofu", "terraform"),
    ("pnpm", "npm"),
    ("gmake", "make"),
    ("pkill", "kill"),
    ("killall", "kill"),
];

impl Knowledge {
    pub fn get() -> &'static Knowledge {
        static KNOWLEDGE: OnceLock<Knowledge> = OnceLock::new();
        KNOWLEDGE.get_or_init(|| toml::from_str(TABLE).expect("the embedded table is tested to parse"))
    }

    /// What is known of a program, by [`program_key`].
    pub fn program(&self, key: &str) -> Option<&Program> {
        self.program.get(key)
    }

    /// Whether a key or option name has a part that decides who may do what.
    pub fn is_security(&self, key: &str) -> bool {
        contains_any(key, &self.keys.security)
    }

    pub fn is_code(&self, key: &str) -> bool {
        contains_any(key, &self.keys.code) && !key.starts_with("--no-")
    }

    /// Whether a text asks for secrets.
    pub fn is_secret(&self, text: &str) -> bool {
        contains_any(text, &self.text.secret)
    }

    pub fn is_network(&self, key: &str) -> bool {
        contains_any(key, &self.keys.network)
    }

    pub fn is_shell(&self, name: &str) -> bool {
        matches!(name, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "csh" | "tcsh" | "fish" | "su" | "runuser")
    }

    /// Risk of a command that was never run from here.
    pub fn command_risk(&self, name: &str) -> f32 {
        let sets = [
            (&self.commands.interpreter, 0.9),
            (&self.commands.network, 0.85),
            (&self.commands.control, 0.75),
            (&self.commands.discovery, 0.6),
            (&self.commands.harmless, 0.1),
        ];
        sets.into_iter().find(|(set, _)| set.contains(name)).map_or(0.5, |(_, risk)| risk)
    }
}

fn contains_any(key: &str, parts: &[String]) -> bool {
    let key = key.to_ascii_lowercase();
    parts.iter().any(|part| key.contains(part.as_str()))
}

/// A program's name without directory and version: `/usr/bin/python3.11` → `python`, `php-fpm8.2` → `php-fpm`.
pub fn program_key(exe: &str) -> &str {
    let name = super::canonical::basename(exe);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    let bare = if bare.is_empty() { name } else { bare };
    ALIASES.iter().find(|(alias, _)| *alias == bare).map_or(bare, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_its_risks_are_shares() {
        let knowledge = Knowledge::get();
        assert!(knowledge.program.len() > 40);
        for (name, program) in &knowledge.program {
            assert_eq!(program_key(name), name, "{name} is looked up by another name");
            for (word, risk) in program.danger.iter().chain(&program.words) {
                assert!((0.0..=1.0).contains(risk), "{name} {word}");
                assert!(!program.safe.contains(word), "{name} {word} is both");
            }
        }
        for (alias, name) in ALIASES {
            assert!(knowledge.program(name).is_some(), "{alias} leads nowhere");
        }
        assert!(knowledge.keys.security.iter().chain(&knowledge.keys.code).all(|part| *part == part.to_lowercase()));
    }

    #[test]
    fn versions_and_directories_are_no_part_of_the_name() {
        for (exe, key) in [
            ("/usr/bin/python3.11", "python"),
            ("php-fpm8.2", "php-fpm"),
            ("/usr/bin/gcc-12", "gcc"),
            ("7", "7"),
            ("podman", "docker"),
        ] {
            assert_eq!(program_key(exe), key);
        }
    }
}
