//! A build: a C compiler over some files, and the linker.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "source";
const FILES: u64 = 24;

pub fn prepare(dir: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    for file in 0..FILES {
        let bodies = (0..20).map(|n| {
            format!("int f{file}_{n}(int x) {{ char line[64]; return snprintf(line, sizeof line, \"%d {n}\", x + {file}); }}\n")
        });
        let text =
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n".to_owned() + &bodies.collect::<String>();
        fs::write(folder.join(format!("f{file}.c")), text)?;
    }
    fs::write(folder.join("main.c"), "int f0_0(int); int main(void) { return f0_0(1) == 3 ? 0 : 1; }\n")
}

/// Compiles `files` of them, links, and runs what came out.
pub fn run(dir: &Path, files: u64) -> io::Result<(Duration, u64)> {
    let out = dir.join(format!("built-{}", std::process::id()));
    fs::create_dir_all(&out)?;
    let source = dir.join(FOLDER);
    let files = files.clamp(1, FILES);
    let cc = |command: &mut Command| -> io::Result<()> {
        let status = command.stdin(Stdio::null()).stderr(Stdio::inherit()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?} ended with {status}"))) }
    };
    let begun = Instant::now();
    let names: Vec<String> = (0..files).map(|file| format!("f{file}")).chain(["main".to_owned()]).collect();
    for name in &names {
        let mut command = Command::new("cc");
        command.args(["-O1", "-c", "-o"]).arg(out.join(name).with_extension("o"));
        cc(command.arg(source.join(name).with_extension("c")))?;
    }
    let objects = names.iter().map(|name| out.join(name).with_extension("o"));
    cc(Command::new("cc").arg("-o").arg(out.join("program")).args(objects))?;
    cc(&mut Command::new(out.join("program")))?;
    let elapsed = begun.elapsed();
    fs::remove_dir_all(&out)?;
    Ok((elapsed, files))
}
