//! `enforce selftest`: holds a cgroup of its own to a policy by `enforce lsm`, as a user would, and has processes in it and beside it do what
//! the policy knows and what it does not.
//!
//! Its JSON has the form of `record selftest`'s, so that the kernel matrix shows both in one table.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::cgroup;
use crate::cli::Format;
use crate::error::{Error, Result};
use crate::lsm::HOOKS;
use crate::watch::print;

const AFTER: &str = "\
Examples:
  enforce selftest                          does `enforce lsm` hold on this kernel?
  enforce selftest --format json            the same, for a program

It needs root. It makes a cgroup below its own, a network namespace and a temporary directory, and removes them. Where
the kernel has no BPF LSM, all is skipped, with the reason.

Exit codes: 0 all is right, or skipped; 1 something is wrong; 3 something missing.";

/// Find out whether `enforce lsm` refuses what it should on this kernel, and nothing else
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// As the recorder's selftest: what the kernel matrix reads.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    kernel: String,
    seconds: f64,
    kinds: Vec<Kind>,
    cases: Vec<Case>,
    hooks: Value,
    accounting: [String; 0],
}

#[derive(Debug, Serialize)]
struct Kind {
    class: &'static str,
    op: &'static str,
    result: &'static str,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Case {
    case: &'static str,
    kinds: Vec<String>,
    result: &'static str,
    note: String,
}

const CLASS: &str = "lsm";
/// Of a child of ours, to load, to answer and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Not of loopback, which no policy restrains.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 9, 1);
const KNOWN: u16 = 5432;
const STRANGER: u16 = 5433;

type Checked = Result<(), String>;
/// Name, kind, what is done and found.
type Test = (&'static str, &'static str, fn(&Stage) -> Checked);

const TESTS: [Test; 11] = [
    ("a known program runs, another does not", "run", programs),
    ("a known file is read, another is not", "read", reads),
    ("a file that is read is not written", "write", writes),
    ("a file of an image's layer is read and written", "write", layers),
    ("a known peer is reached, another is not", "connect", connects),
    ("datagrams go to a known peer alone", "connect", datagrams),
    ("an address of no family is one of IPv4", "connect", no_family),
    ("who is not in the cgroup is not judged", "read", outside),
    ("a policy is replaced without a gap", "read", replaced),
    ("what cannot be read leaves the old policy", "read", unreadable),
    ("a dry run says and refuses nothing", "read", dry_run),
];

/// # Errors
/// What it needs cannot be made.
pub fn run(args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut report = Report {
        ok: true,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        seconds: 0.0,
        kinds: Vec::new(),
        cases: Vec::new(),
        hooks: json!({}),
        accounting: [],
    };
    let stage = Stage::new()?;
    let missing = match Enforcer::begin(&stage, &[]) {
        Ok(_) => None,
        Err(Refused { code: Some(3), why }) => Some(why),
        Err(Refused { why, .. }) => {
            return Err(Error::prerequisite(format!("enforce lsm: {why}"), "see `enforce lsm --help`"));
        }
    };
    match missing {
        Some(why) => report.skip(why),
        None => {
            TESTS.iter().for_each(|test| report.add(test, &stage));
            report.hooks = json!({ CLASS: HOOKS });
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    let text = match args.format {
        Format::Json => format!("{}\n", json!(report)),
        Format::Table => table(&report),
    };
    print(&text).map_err(Error::Output)?;
    Ok(ExitCode::from(u8::from(!report.ok)))
}

impl Report {
    fn add(&mut self, (name, op, test): &Test, stage: &Stage) {
        let (result, note) = match test(stage) {
            Ok(()) => ("ok", String::new()),
            Err(why) => ("wrong", why),
        };
        self.ok &= result == "ok";
        self.kind(op, result);
        self.cases.push(Case { case: name, kinds: vec![format!("{CLASS}.{op}")], result, note });
    }

    /// All of it, for one reason.
    fn skip(&mut self, why: String) {
        TESTS.iter().for_each(|(_, op, _)| self.kind(op, "skipped"));
        let kinds = self.kinds.iter().map(|kind| format!("{CLASS}.{}", kind.op)).collect();
        self.cases.push(Case { case: "BPF LSM", kinds, result: "skipped", note: why });
    }

    fn kind(&mut self, op: &'static str, result: &'static str) {
        match self.kinds.iter_mut().find(|kind| kind.op == op) {
            Some(kind) if result == "wrong" => kind.result = result,
            Some(_) => {}
            None => self.kinds.push(Kind { class: CLASS, op, result, notes: Vec::new() }),
        }
    }
}

fn table(report: &Report) -> String {
    let mut out = format!("kernel {}\n", report.kernel);
    for case in &report.cases {
        out += &format!("{:<8} {}\n", case.result, case.case);
        if !case.note.is_empty() {
            out += &format!("         {}\n", case.note);
        }
    }
    out
}

/// What the tests share: a cgroup, a directory, a network namespace of this process's own, and the policy's file.
struct Stage {
    cgroup: PathBuf,
    dir: PathBuf,
}

impl Stage {
    fn new() -> Result<Stage> {
        const NEEDED: &str = "the selftest needs root and a cgroup of version 2 in which it may make others";
        let failed = |what: &str, error: io::Error| Error::prerequisite(format!("{what}: {error}"), NEEDED);
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| failed("/proc/self/cgroup", error))?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let name = format!("retroscope-enforce-{}", std::process::id());
        let root =
            cgroup::root().ok_or_else(|| Error::prerequisite("no cgroup hierarchy of version 2 is mounted", NEEDED))?;
        let cgroup = root.join(own).join(&name);
        fs::create_dir(&cgroup).map_err(|error| failed(&cgroup.display().to_string(), error))?;
        let stage = Stage { cgroup, dir: std::env::temp_dir().join(name) };
        stage.furnish().map_err(|error| failed("cannot prepare the selftest", error))?;
        Ok(stage)
    }

    fn furnish(&self) -> io::Result<()> {
        fs::create_dir(&self.dir)?;
        // Named as the program is called: busybox goes by that.
        for kind in ["known", "unknown"] {
            fs::create_dir(self.dir.join(kind))?;
            fs::copy("/bin/true", self.dir.join(kind).join("true"))?;
            fs::write(self.dir.join(kind).join("file"), kind)?;
        }
        fs::write(self.dir.join("known").join("writable"), "")?;
        self.policy("known")?;
        // SAFETY: no preconditions; this process has one thread.
        if unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let address = format!("{ADDRESS}/32");
        tool("mount", &["--make-rprivate", "/"])?;
        tool("ip", &["link", "set", "lo", "up"])?;
        tool("ip", &["addr", "add", &address, "dev", "lo"])
    }

    /// A file below the mount of [`layers`].
    fn merged(&self, name: &str) -> PathBuf {
        self.dir.join("merged").join(name)
    }

    fn file(&self, kind: &str, name: &str) -> PathBuf {
        self.dir.join(kind).join(name)
    }

    fn policy_file(&self) -> PathBuf {
        self.dir.join("policy.json")
    }

    /// Writes the policy that knows the files of one kind.
    fn policy(&self, kind: &str) -> io::Result<()> {
        let path = |name: &str| self.file(kind, name).display().to_string();
        let merged = self.merged("known").display().to_string();
        let none: [&str; 0] = [];
        let policy = json!({
            "version": 1, "image": "selftest", "not_locked": none,
            "programs": { "exact": [path("true")], "prefixes": ["/bin/", "/usr/bin/"] },
            // What a dynamic linker and a C library read of any machine.
            "reads": { "exact": [path("file"), path("writable"), merged], "prefixes": ["/lib", "/usr/", "/etc/", "/proc/", "/sys/"] },
            "writes": { "exact": [path("writable"), merged], "prefixes": none },
            "egress": [
                { "peers": [format!("{ADDRESS}/32")], "except": none, "protocol": "tcp", "from": KNOWN, "until": KNOWN },
                { "peers": [format!("{ADDRESS}/32")], "except": none, "protocol": "udp", "from": KNOWN, "until": KNOWN },
            ],
            "ingress": none,
        });
        fs::write(self.policy_file(), policy.to_string())
    }

    /// Does something in a process of the cgroup; its error is that of the act.
    fn inside(&self, act: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
        in_cgroup(Some(&self.cgroup), &mut Command::new("/bin/true"), act)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        // Its last process may be on its way out.
        for _ in 0..50 {
            if fs::remove_dir(&self.cgroup).is_ok() || !self.cgroup.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn tool(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    let said = || format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(io::Error::other(said())) }
}

/// Runs a program in a cgroup, after the act. What fails of the two is the error.
fn in_cgroup(
    cgroup: Option<&Path>,
    command: &mut Command,
    mut act: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    let procs = cgroup.map(|cgroup| cgroup.join("cgroup.procs"));
    let join = move || {
        if let Some(procs) = &procs {
            OpenOptions::new().write(true).open(procs)?.write_all(b"0")?;
        }
        act()
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the parent has one thread, or others that hold no lock for long: they read lines of a pipe.
    let status = unsafe { command.pre_exec(join) }.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}

/// `enforce lsm` on the stage. It ends when dropped.
struct Enforcer {
    child: Child,
    lines: Receiver<Value>,
    /// Lines that came before another that was waited for.
    passed_over: Vec<Value>,
}

/// Why it did not begin.
struct Refused {
    code: Option<i32>,
    why: String,
}

impl Enforcer {
    fn begin(stage: &Stage, options: &[&str]) -> Result<Enforcer, Refused> {
        let failed = |error: io::Error| Refused { code: None, why: error.to_string() };
        let said = stage.dir.join("said");
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("lsm").arg(stage.policy_file()).arg("--cgroup").arg(&stage.cgroup);
        command.args(["--format", "json"]).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&said).map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the program.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(io::Result::ok) {
                    if serde_json::from_str(&line).is_ok_and(|line| send.send(line).is_err()) {
                        return;
                    }
                }
            });
        }
        let mut enforcer = Enforcer { child, lines, passed_over: Vec::new() };
        if enforcer.until("policy").1 {
            return Ok(enforcer);
        }
        let code = enforcer.child.wait().ok().and_then(|status| status.code());
        let text = fs::read_to_string(said).unwrap_or_default();
        let why = text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it said nothing").to_owned();
        Err(Refused { code, why })
    }

    fn start(stage: &Stage) -> Result<Enforcer, String> {
        Enforcer::begin(stage, &[]).map_err(|refused| refused.why)
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is a child that nobody has waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// How often each thing was refused since the last call, some of them several times: act, and path or port.
    fn refused(&mut self) -> Result<Vec<(String, String, u64)>, String> {
        self.signal(libc::SIGUSR1);
        let (mut lines, there) = self.until("reported");
        if !there {
            return Err("enforce lsm does not answer".to_owned());
        }
        lines.splice(..0, self.passed_over.drain(..));
        let refused = lines.iter().filter(|line| line["event"] == "refused").filter_map(|line| {
            let whom = line["path"].as_str().map_or_else(|| line["port"].to_string(), str::to_owned);
            Some((line["act"].as_str()?.to_owned(), whom, line["times"].as_u64()?))
        });
        Ok(refused.collect())
    }

    /// The lines before that of an event, and whether it came.
    fn until(&mut self, event: &str) -> (Vec<Value>, bool) {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line["event"] == event => return (lines, true),
                Ok(line) => lines.push(line),
                Err(_) => return (lines, false),
            }
        }
    }

    /// Nothing but this was refused.
    fn only(&mut self, act: &str, whom: &Path, times: u64) -> Checked {
        same("refused", &self.refused()?, &vec![(act.to_owned(), whom.display().to_string(), times)])
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.signal(libc::SIGINT);
        let _ = self.child.wait();
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Checked {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

/// What an act came to.
fn outcome(done: &io::Result<()>) -> String {
    match done {
        Ok(()) => "done".to_owned(),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => "EPERM".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn done(what: &str, act: &io::Result<()>) -> Checked {
    same(what, &outcome(act), &"done".to_owned())
}

fn refused(what: &str, act: &io::Result<()>) -> Checked {
    same(what, &outcome(act), &"EPERM".to_owned())
}

fn programs(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::start(stage)?;
    let run = |kind| in_cgroup(Some(&stage.cgroup), &mut Command::new(stage.file(kind, "true")), || Ok(()));
    done("the known program", &run("known"))?;
    refused("the unknown program", &run("unknown"))?;
    enforcer.only("run", &stage.file("unknown", "true"), 1)
}

fn read_of(path: PathBuf) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    move || File::open(&path).map(drop)
}

fn reads(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::start(stage)?;
    done("the known file", &stage.inside(read_of(stage.file("known", "file"))))?;
    refused("the unknown file", &stage.inside(read_of(stage.file("unknown", "file"))))?;
    // A directory above, which no rule has.
    refused("the directory", &stage.inside(read_of(stage.dir.clone())))?;
    let mut found = enforcer.refused()?;
    found.sort();
    let expected = [stage.dir.clone(), stage.file("unknown", "file")]
        .map(|path| ("read".to_owned(), path.display().to_string(), 1));
    same("refused", &found, &expected.to_vec())
}

fn writes(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::start(stage)?;
    let write = |path: PathBuf| move || OpenOptions::new().append(true).open(&path)?.write_all(b"x");
    let (file, writable) = (stage.file("known", "file"), stage.file("known", "writable"));
    done("the file that may be written", &stage.inside(write(writable.clone())))?;
    refused("the file that may be read", &stage.inside(write(file.clone())))?;
    same("bytes written", &fs::read(&writable).unwrap_or_default(), &b"x".to_vec())?;
    same("what may not be written", &fs::read(&file).unwrap_or_default(), &b"known".to_vec())?;
    enforcer.only("write", &file, 1)
}

/// As a container has its files: what the kernel opens in the layers to do that is not the process's doing.
fn layers(stage: &Stage) -> Checked {
    let failed = |error: io::Error| error.to_string();
    for layer in ["lower", "upper", "work", "merged"] {
        fs::create_dir(stage.dir.join(layer)).map_err(failed)?;
    }
    for name in ["known", "unknown"] {
        fs::write(stage.dir.join("lower").join(name), name).map_err(failed)?;
    }
    let dir = stage.dir.display();
    let layers = format!("lowerdir={dir}/lower,upperdir={dir}/upper,workdir={dir}/work");
    let merged = stage.dir.join("merged").display().to_string();
    tool("mount", &["-t", "overlay", "overlay", "-o", &layers, &merged]).map_err(failed)?;
    let checked = in_layers(stage);
    tool("umount", &[&merged]).map_err(failed)?;
    checked
}

fn in_layers(stage: &Stage) -> Checked {
    let append = |path: PathBuf| move || OpenOptions::new().append(true).open(&path)?.write_all(b"x");
    let (known, unknown) = (stage.merged("known"), stage.merged("unknown"));
    let mut enforcer = Enforcer::start(stage)?;
    done("a known file is read", &stage.inside(read_of(known.clone())))?;
    done("it is written, and so copied up", &stage.inside(append(known.clone())))?;
    done("it is written again", &stage.inside(append(known.clone())))?;
    same("bytes written", &fs::read(&known).unwrap_or_default(), &b"knownxx".to_vec())?;
    refused("an unknown file is read", &stage.inside(read_of(unknown.clone())))?;
    refused("it is written", &stage.inside(append(unknown.clone())))?;
    let mut found = enforcer.refused()?;
    found.sort();
    let expected = ["read", "write"].map(|act| (act.to_owned(), unknown.display().to_string(), 1));
    same("refused", &found, &expected.to_vec())
}

fn connects(stage: &Stage) -> Checked {
    let listening = |port| TcpListener::bind((ADDRESS, port)).map_err(|error| error.to_string());
    let (_known, _stranger) = (listening(KNOWN)?, listening(STRANGER)?);
    let loopback = TcpListener::bind((Ipv4Addr::LOCALHOST, STRANGER)).map_err(|error| error.to_string())?;
    let mut enforcer = Enforcer::start(stage)?;
    let connect = |address, port| stage.inside(move || TcpStream::connect((address, port)).map(drop));
    done("the known port", &connect(ADDRESS, KNOWN))?;
    done("loopback", &connect(Ipv4Addr::LOCALHOST, STRANGER))?;
    refused("another port", &connect(ADDRESS, STRANGER))?;
    drop(loopback);
    enforcer.only("connect", Path::new(&STRANGER.to_string()), 1)
}

fn datagrams(stage: &Stage) -> Checked {
    let bound = |port| UdpSocket::bind((ADDRESS, port)).map_err(|error| error.to_string());
    let (known, stranger) = (bound(KNOWN)?, bound(STRANGER)?);
    let mut enforcer = Enforcer::start(stage)?;
    let send = |port| {
        stage.inside(move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"x", (ADDRESS, port)).map(drop))
    };
    done("to the known port", &send(KNOWN))?;
    refused("to another port", &send(STRANGER))?;
    let arrived = |socket: &UdpSocket| socket.set_nonblocking(true).is_ok_and(|()| socket.recv(&mut [0; 8]).is_ok());
    same("what arrived", &[arrived(&known), arrived(&stranger)], &[true, false])?;
    enforcer.only("connect", Path::new(&STRANGER.to_string()), 1)
}

/// sendto(2) takes it for one: `udp_sendmsg()` in net/ipv4/udp.c.
fn no_family(stage: &Stage) -> Checked {
    let stranger = UdpSocket::bind((ADDRESS, STRANGER)).map_err(|error| error.to_string())?;
    let mut enforcer = Enforcer::start(stage)?;
    let send = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let to = libc::sockaddr_in {
            sin_family: libc::AF_UNSPEC as libc::sa_family_t,
            sin_port: STRANGER.to_be(),
            sin_addr: libc::in_addr { s_addr: ADDRESS.to_bits().to_be() },
            sin_zero: [0; 8],
        };
        let length = size_of_val(&to) as libc::socklen_t;
        // SAFETY: data and address are valid for their lengths.
        let sent =
            unsafe { libc::sendto(socket.as_raw_fd(), b"x".as_ptr().cast(), 1, 0, (&raw const to).cast(), length) };
        if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    refused("to another port", &stage.inside(send))?;
    let arrived = stranger.set_nonblocking(true).is_ok_and(|()| stranger.recv(&mut [0; 8]).is_ok());
    same("something arrived", &arrived, &false)?;
    enforcer.only("connect", Path::new(&STRANGER.to_string()), 1)
}

fn outside(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::start(stage)?;
    let unknown = stage.file("unknown", "file");
    done("beside the cgroup", &in_cgroup(None, &mut Command::new(stage.file("unknown", "true")), read_of(unknown)))?;
    same("refused", &enforcer.refused()?, &Vec::new())
}

/// Rounds of a policy that is replaced.
const ROUNDS: u64 = 20;

fn replaced(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::start(stage)?;
    // What both policies know, and what neither does, is asked for all the while.
    let (always, never) = (stage.file("known", "writable"), stage.file("known", "true"));
    stage.policy("known").map_err(|error| error.to_string())?;
    let counts = stage.dir.join("known").join("counts");
    fs::write(&counts, "").map_err(|error| error.to_string())?;
    let stop = stage.dir.join("stop");
    // Opened beforehand: the policies know neither.
    let (mut out, stopped) =
        (OpenOptions::new().append(true).open(&counts).map_err(|error| error.to_string())?, stop.clone());
    let cgroup = stage.cgroup.clone();
    let always_too = always.clone();
    let never_too = never.clone();
    let asking = thread::spawn(move || {
        let act = move || {
            let (mut asked, mut read, mut refused) = (0_u64, 0_u64, 0_u64);
            // Looked for, not opened.
            while !stopped.exists() {
                asked += 1;
                read += u64::from(File::open(&always_too).is_ok());
                refused += u64::from(File::open(&never_too).is_err());
            }
            out.write_all(format!("{asked} {read} {refused}").as_bytes())
        };
        in_cgroup(Some(&cgroup), &mut Command::new("/bin/true"), act)
    });
    let mut swapped = 0;
    for round in 0..ROUNDS {
        write_with(stage, if round % 2 == 0 { "unknown" } else { "known" }, &always)
            .map_err(|error| error.to_string())?;
        enforcer.signal(libc::SIGHUP);
        let (lines, there) = enforcer.until("policy");
        enforcer.passed_over.extend(lines);
        swapped += u64::from(there);
    }
    File::create(&stop).map_err(|error| error.to_string())?;
    done("who asked", &asking.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))))?;
    let _ = fs::remove_file(&stop);
    same("policies replaced", &swapped, &ROUNDS)?;
    let text = fs::read_to_string(&counts).unwrap_or_default();
    let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [asked, read, refused] = numbers[..] else { return Err(format!("who asked said {text:?}")) };
    same("answers, of those asked for", &(read, refused), &(asked, asked))?;
    if asked < ROUNDS {
        return Err(format!("it asked {asked} times only"));
    }
    eprintln!(
        "{ROUNDS} policies replaced: of {asked} files that both know all were opened, of {asked} that neither knows none"
    );
    let never = never.display().to_string();
    let found = enforcer.refused()?;
    let counted: u64 = found.iter().filter(|(_, whom, _)| *whom == never).map(|(.., times)| times).sum();
    same("refused and counted", &counted, &asked)
}

/// The policy that knows the files of one kind, and one more.
fn write_with(stage: &Stage, kind: &str, also: &Path) -> io::Result<()> {
    stage.policy(kind)?;
    let mut policy: Value = serde_json::from_str(&fs::read_to_string(stage.policy_file())?)?;
    if let Some(exact) = policy["reads"]["exact"].as_array_mut() {
        exact.push(json!(also));
    }
    // In one step, as anybody should who replaces a file that is read.
    let fresh = stage.dir.join("policy.new");
    fs::write(&fresh, policy.to_string())?;
    fs::rename(fresh, stage.policy_file())
}

fn unreadable(stage: &Stage) -> Checked {
    stage.policy("known").map_err(|error| error.to_string())?;
    let mut enforcer = Enforcer::start(stage)?;
    fs::write(stage.policy_file(), "{").map_err(|error| error.to_string())?;
    enforcer.signal(libc::SIGHUP);
    let said = enforcer.until("policy_refused").1;
    stage.policy("known").map_err(|error| error.to_string())?;
    same("that the policy cannot be read is said", &said, &true)?;
    done("the known file", &stage.inside(read_of(stage.file("known", "file"))))?;
    refused("the unknown file", &stage.inside(read_of(stage.file("unknown", "file"))))
}

fn dry_run(stage: &Stage) -> Checked {
    let mut enforcer = Enforcer::begin(stage, &["--dry-run"]).map_err(|refused| refused.why)?;
    let unknown = stage.file("unknown", "file");
    done("the unknown file", &stage.inside(read_of(unknown.clone())))?;
    enforcer.only("read", &unknown, 1)
}
