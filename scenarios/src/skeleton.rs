//! A new scenario's folder, as a beginning that runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::load_from;
use crate::check::is_plain_name;
use crate::error::Error;

/// Writes `<root>/<name>` with a `scenario.toml` and a `README.md`: the life of `base`, and one step in its first watched
/// service that looks around. Returns the folder.
///
/// # Errors
/// [`Error::BadName`], [`Error::Exists`], those of [`load_from`] for `base`, and [`Error::Write`].
pub fn begin(root: &Path, name: &str, base: &str) -> Result<PathBuf, Error> {
    if !is_plain_name(name) {
        return Err(Error::BadName { name: name.to_owned() });
    }
    let base = load_from(root, base)?;
    let folder = root.join(name);
    if folder.exists() {
        return Err(Error::Exists { path: folder });
    }
    // The checks of the base have seen at least one service; where all stand for the outside, nothing could be labelled.
    let Some(victim) = base.services.iter().find(|service| !service.outside) else {
        return Err(Error::Definition {
            path: root.join(&base.name).join("scenario.toml"),
            place: "services".into(),
            message: "all of them are outside, so there is nothing to attack".into(),
        });
    };
    fs::create_dir(&folder).map_err(Error::write(&folder))?;
    let fill =
        |text: &str| text.replace("{name}", name).replace("{base}", &base.name).replace("{victim}", &victim.name);
    for (file, text) in [("scenario.toml", TOML), ("README.md", README)] {
        let path = folder.join(file);
        fs::write(&path, fill(text)).map_err(Error::write(&path))?;
    }
    Ok(folder)
}

const TOML: &str = r#"title = "Someone with access looks around in {victim}"
description = """
The life of `{base}`. Then someone who may run commands in the containers starts a shell in {victim} and asks who and where
he is. Replace this by what your attack does and why a detector could miss it.
"""
extends = "{base}"

[benign]
# Ordinary life before the first act, and after the last one, s.
duration_s = 60
tail_s = 10

# A container for the attacker's tools; `outside`: the recorder does not watch it.
# [images.attacker]
# recipe = "images/attacker"
#
# [[services]]
# name = "attacker"
# image = "attacker"
# outside = true
# aliases = ["cdn.updates.example"]
# command = ["python3", "-m", "http.server", "80"]

[[acts]]
name = "look-around"
title = "A shell, and two questions"

[[acts.steps]]
name = "whoami"
technique = "T1033"
description = "a shell asks for the user and the kernel"
service = "{victim}"
command = ["sh", "-c", "id; uname -a"]
settle_s = 2
# The process tree below each root is labelled; `*` stands for any run of characters.
roots = [{ service = "{victim}", exe = "/usr/bin/*sh", argv_contains = ["id; uname -a"] }]
"#;

const README: &str = "# {name}

What happens, step by step, and what it stands for.

## Stand-ins

None: `id` and `uname` are the system's own.

## Evidence

A shell that the platform starts in {victim}, with two children that it never had.
";
