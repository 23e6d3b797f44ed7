//! Which files may hold TLS code: of a running process, and of a root file system before anything runs in it.
//!
//! A root may be a container's, and its symbolic links an attacker's: every path is resolved inside it (openat2 with
//! `RESOLVE_IN_ROOT`, Linux 5.6), and only regular files are opened.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use serde::Deserialize;

/// A root directory, held open.
pub struct Root(File);

/// Where distributions put libraries, and images their own; one level of directories below each is looked at too
/// (`x86_64-linux-gnu`, `openssl-1.1`).
const LIBRARY_DIRS: [&str; 6] = ["lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64"];

/// Where images have their programs: besides these in directories of their own at the root (`/app`).
const PROGRAM_DIRS: [&str; 5] = ["/", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"];

/// Bytes. A Go 1.19 program with crypto/tls and nothing else has 3.8 MB without symbols; most of a distribution's programs
/// are below, and need not be opened.
const LARGE_PROGRAM: u64 = 2 << 20;

/// The PATH of a program that was given none (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Root {
    pub fn open(path: &Path) -> Option<Root> {
        File::open(path).ok().filter(|dir| dir.metadata().is_ok_and(|meta| meta.is_dir())).map(Root)
    }

    /// The root that a process sees.
    pub fn of(pid: u32) -> Option<Root> {
        Root::open(&PathBuf::from(format!("/proc/{pid}/root")))
    }

    /// A regular file by its path inside the root.
    pub fn file(&self, path: &Path) -> Option<File> {
        // A path first: opening a device or a FIFO would already do something.
        let place = self.open_path(path, OFlag::O_PATH)?;
        if !place.metadata().ok()?.is_file() {
            return None;
        }
        File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()
    }

    fn open_path(&self, path: &Path, flags: OFlag) -> Option<File> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(self.0.as_fd(), path, how).ok().map(File::from)
    }

    fn entries(&self, path: &Path) -> Vec<fs::DirEntry> {
        let Some(dir) = self.open_path(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else { return Vec::new() };
        fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())).into_iter().flatten().flatten().collect()
    }

    /// TLS libraries in the usual places.
    pub fn libraries(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for dir in LIBRARY_DIRS.map(PathBuf::from) {
            for entry in self.entries(&dir) {
                let path = dir.join(entry.file_name());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        let inside = self.entries(&path).into_iter().map(|entry| path.join(entry.file_name()));
                        found.extend(inside.filter(|path| is_library(path)));
                    }
                    Ok(kind) if !kind.is_socket() && !kind.is_fifo() && is_library(&path) => found.push(path),
                    _ => {}
                }
            }
        }
        found
    }

    /// Executables in the usual places that are large enough to have TLS code linked in.
    pub fn large_programs(&self) -> Vec<PathBuf> {
        let top = Path::new("");
        let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let mut dirs: Vec<PathBuf> = PROGRAM_DIRS.map(PathBuf::from).into();
        dirs.extend(self.entries(Path::new("/")).iter().filter(|entry| is_dir(entry)).map(|e| top.join(e.file_name())));
        let mut found = Vec::new();
        for dir in dirs {
            for entry in self.entries(&dir) {
                // Of the entry itself: what a link leads to is found where it is.
                let large = |meta: &fs::Metadata| {
                    meta.is_file() && meta.permissions().mode() & 0o111 != 0 && meta.len() >= LARGE_PROGRAM
                };
                if entry.metadata().is_ok_and(|meta| large(&meta)) {
                    found.push(dir.join(entry.file_name()));
                }
            }
        }
        found
    }

    /// The file that a program's name stands for, as execvp(3) finds it.
    pub fn program(&self, name: &str, path: Option<&str>, cwd: &Path) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(cwd.join(name));
        }
        let dirs = path.unwrap_or(DEFAULT_PATH).split(':').map(|dir| Path::new(dir).join(name));
        dirs.into_iter().find(|path| self.open_path(path, OFlag::O_PATH).is_some())
    }
}

/// `libssl.so.3`, `libssl.so.1.1`, and the renamed copies that Python wheels bring (`libssl-81ffa89e.so.3`).
pub fn is_library(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("libssl").is_some_and(|rest| {
        let (before, after) = rest.split_once(".so").unwrap_or((rest, "-"));
        (before.is_empty() || before.starts_with('-')) && (after.is_empty() || after.starts_with('.'))
    })
}

/// TLS libraries that a process has mapped, as paths in its root.
pub fn mapped(pid: u32) -> Vec<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    let mut found: Vec<PathBuf> = paths.filter(|path| is_library(path)).collect();
    found.dedup();
    found
}

/// The executable of a process.
pub fn executable(pid: u32) -> Option<File> {
    File::open(format!("/proc/{pid}/exe")).ok()
}

/// The same file under another name or in another mount: overlayfs shows the inode number and times of the file below, and a
/// uprobe is on that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

pub fn identity(file: &File) -> Option<Identity> {
    let meta = file.metadata().ok()?;
    Some(Identity { inode: meta.ino(), size: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

/// What a container will run, from its OCI bundle (config.json of the runtime specification).
pub struct Bundle {
    pub root: PathBuf,
    program: String,
    path: Option<String>,
    cwd: PathBuf,
}

#[derive(Deserialize)]
struct Config {
    root: ConfigRoot,
    process: ConfigProcess,
}

#[derive(Deserialize)]
struct ConfigRoot {
    path: PathBuf,
}

#[derive(Deserialize)]
struct ConfigProcess {
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    cwd: PathBuf,
}

impl Bundle {
    pub fn read(dir: &Path) -> Option<Bundle> {
        let config: Config = serde_json::from_slice(&fs::read(dir.join("config.json")).ok()?).ok()?;
        let path = config.process.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).map(str::to_owned);
        Some(Bundle {
            root: dir.join(config.root.path),
            program: config.process.args.into_iter().next()?,
            path,
            cwd: config.process.cwd,
        })
    }

    /// The program's path inside `root`.
    pub fn program(&self, root: &Root) -> Option<PathBuf> {
        root.program(&self.program, self.path.as_deref(), &self.cwd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_name() {
        for name in ["libssl.so", "libssl.so.3", "/usr/lib/libssl.so.1.1", "libssl-81ffa89e.so.3"] {
            assert!(is_library(Path::new(name)), "{name}");
        }
        for name in ["libssl3.so", "libssl.a", "libsslcommon.so", "libcrypto.so.3", "libssl.sock", "ssl", "libssl"] {
            assert!(!is_library(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn only_large_executables_are_programs_to_open() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("app")).unwrap();
        for (name, len, mode) in
            [("app/go", LARGE_PROGRAM, 0o755), ("app/sh", 9, 0o755), ("app/data", LARGE_PROGRAM, 0o644)]
        {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(len).unwrap();
            file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("app/go", dir.path().join("link")).unwrap();
        assert_eq!(Root::open(dir.path()).unwrap().large_programs(), [PathBuf::from("app/go")]);
    }

    #[test]
    fn nothing_outside_a_root_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("libssl.so.3"));
        fs::create_dir_all(root.join("usr/lib/x")).unwrap();
        fs::write(&outside, "outside").unwrap();
        fs::write(root.join("usr/lib/x/libssl.so.1.1"), "inside").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("usr/lib/libssl.so.3")).unwrap();
        std::os::unix::fs::symlink("/usr/lib/x/libssl.so.1.1", root.join("usr/lib/libssl.so")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let root = Root::open(&root).unwrap();
        let mut found = root.libraries();
        found.sort();
        assert_eq!(found, ["usr/lib/libssl.so", "usr/lib/libssl.so.3", "usr/lib/x/libssl.so.1.1"].map(PathBuf::from));
        assert!(root.file(&found[0]).is_some(), "an absolute link is followed inside the root");
        assert!(root.file(&found[1]).is_none(), "a link out of it leads nowhere");
        assert!(root.file(Path::new("fifo")).is_none(), "only regular files, and without waiting for a writer");
    }

    #[test]
    fn a_bundle_tells_what_will_run() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("rootfs/opt")).unwrap();
        fs::write(dir.path().join("rootfs/opt/app"), "").unwrap();
        let config = r#"{"root":{"path":"rootfs"},"process":{"args":["app","-x"],"env":["PATH=/bin:/opt"],"cwd":"/"}}"#;
        fs::write(dir.path().join("config.json"), config).unwrap();
        let bundle = Bundle::read(dir.path()).unwrap();
        let root = Root::open(&bundle.root).unwrap();
        assert_eq!(bundle.program(&root), Some(PathBuf::from("/opt/app")));
        assert!(Bundle::read(Path::new("/no/such")).is_none());
    }
}
