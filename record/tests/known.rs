//! The filter of known behaviour, on real containers: what an image is known for is counted and not stored, and everything
//! else is.

mod common;

use std::path::Path;
use std::process::Command;

use common::podman::{Image, finish, podman, start};
use common::{Recorded, one};
use datasets::ClassAccount;
use datasets::known::{FileOp, KnownBehaviour, LearnedFrom};
use record_bpf::{Class, Kind};

/// Opens, reads and closes /etc/known fifty times, half of them in a child. With an argument, further: /etc/other twenty
/// times; /etc/known to write; a file that is not there; /etc/known by a copy of the program, in /tmp.
const PROBE: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int visit(const char *path, int times) {
	char byte;
	for (int i = 0; i < times; i++) {
		int fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd)) return 1;
	}
	return 0;
}
int main(int argc, char **argv) {
	int status;
	if (argc > 1 && !strcmp(argv[1], "copy")) return visit("/etc/known", 7);
	if (visit("/etc/known", 25)) return 1;
	if (!fork()) _exit(visit("/etc/known", 25));
	if (wait(&status) < 0 || status) return 2;
	if (argc < 2) return 0;
	if (visit("/etc/other", 20)) return 3;
	if (close(open("/etc/known", O_RDWR))) return 4;
	if (open("/etc/missing", O_RDONLY) >= 0) return 5;
	char buf[65536];
	int from = open("/probe", O_RDONLY), to = open("/tmp/probe", O_WRONLY | O_CREAT, 0755);
	for (long n; (n = read(from, buf, sizeof(buf))) > 0;)
		if (write(to, buf, n) != n) return 6;
	close(from);
	close(to);
	if (!fork()) { execl("/tmp/probe", "probe", "copy", (char *)0); _exit(7); }
	return wait(&status) < 0 || status;
}
"#;

fn image(podman: scenarios::PodmanEnv) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    ["etc", "tmp"].iter().for_each(|name| std::fs::create_dir_all(root.join(name)).unwrap());
    ["known", "other"].iter().for_each(|name| std::fs::write(root.join("etc").join(name), name).unwrap());
    let source = dir.path().join("probe.c");
    std::fs::write(&source, PROBE).unwrap();
    let mut cc = Command::new("cc");
    assert!(cc.args(["-static", "-O1", "-w", "-o"]).arg(root.join("probe")).arg(&source).status().unwrap().success());
    Image::import(podman, "retroscope-known", &root)
}

/// What the recording shows of files opened to read, as a filter.
fn learn(run: &Recorded, file: &Path) -> KnownBehaviour {
    let containers = datasets::Recording::open(run.dir.path().join("recording")).unwrap().containers().unwrap();
    let container = one(containers);
    let mut known = KnownBehaviour::new(LearnedFrom::default());
    let image = known.images.entry(container.image.as_deref().unwrap().to_owned()).or_default();
    image.image_ids.insert(container.image_id.as_deref().unwrap().to_owned());
    for open in run.file(Kind::Open, "/etc/known") {
        let exe = run.process_of(open.common.exec_id).exe.clone().unwrap();
        image.insert(&exe, FileOp::of(open.flags.unwrap()), "/etc/known").unwrap();
    }
    std::fs::write(file, known.to_json()).unwrap();
    known
}

fn file_account(run: &Recorded) -> ClassAccount {
    let mut sum = ClassAccount::default();
    for cpu in &run.manifest.accounting.as_ref().unwrap().cpus {
        for (class, account) in &cpu.classes {
            assert!(account.holds(), "{class}: {account:?}");
            assert!(class == Class::File.name() || account.known == 0, "{class}: {account:?}");
        }
        let account = cpu.classes.get(Class::File.name()).copied().unwrap_or_default();
        sum.emitted += account.emitted;
        sum.stored += account.stored;
        sum.known += account.known;
    }
    sum
}

#[test]
fn what_an_image_is_known_for_is_counted_and_all_else_is_stored() {
    let Some(podman) = podman("what_an_image_is_known_for_is_counted_and_all_else_is_stored") else { return };
    let image = image(podman);
    let filters = ["--container", "retroscope-known-*", "--events", "process,file", "--file-io", "calls"];

    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &filters);
    image.run("retroscope-known-learned", &[], &[]);
    let learned = finish(child, dir);
    assert_eq!(learned.file(Kind::Open, "/etc/known").len(), 50);
    assert_eq!(file_account(&learned).known, 0, "off unless asked for");
    assert_eq!(learned.manifest.known, None);
    let files = tempfile::tempdir().unwrap();
    let filter = files.path().join("known.json");
    assert_eq!(learn(&learned, &filter).entries(), 1);

    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &[&filters[..], &["--known", filter.to_str().unwrap()]].concat());
    image.run("retroscope-known-filtered", &[], &["more"]);
    let run = finish(child, dir);

    // 50 times open, read and close.
    let account = file_account(&run);
    assert_eq!((account.known, account.emitted), (150, account.stored + 150), "{account:?}");
    // By another program, or for another purpose, it is not known.
    let opens = run.file(Kind::Open, "/etc/known");
    let by =
        |exe: &str| opens.iter().filter(|row| run.process_of(row.common.exec_id).exe.as_deref() == Some(exe)).count();
    assert_eq!((by("/tmp/probe"), by("/probe"), opens.len()), (7, 1, 8));
    assert!(opens.iter().any(|row| FileOp::of(row.flags.unwrap()) == FileOp::Write));
    assert_eq!(run.file(Kind::Close, "/etc/known").len(), 8);
    assert_eq!(run.file(Kind::Read, "/etc/known").len(), 7);
    // Nor is what was not learned, what failed, or a program that is run.
    for kind in [Kind::Open, Kind::Read, Kind::Close] {
        assert_eq!(run.file(kind, "/etc/other").len(), 20, "{kind:?}");
    }
    assert_eq!(one(run.file(Kind::Open, "/etc/missing")).ret, -libc::ENOENT);
    let execs = run.process(Kind::Exec).filter_map(|row| row.exe.as_deref());
    assert!(execs.filter(|exe| exe.ends_with("/probe")).eq(["/probe", "/tmp/probe"]));

    let known = run.manifest.known.as_ref().unwrap();
    assert_eq!((known.entries, &*known.images), (1, &[image.name().to_owned()][..]));
    let sum = Command::new("sha256sum").arg(&filter).output().unwrap();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&known.sha256), "the very file that was used");
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_bad_filter_is_named_before_anything_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let filter = dir.path().join("filter.json");
    std::fs::write(&filter, "{}").unwrap();
    let record = |args: &[&str]| common::recorder(dir.path(), args).output().unwrap();
    if !common::can_record("a_bad_filter_is_named_before_anything_is_recorded") {
        return;
    }
    let filter = filter.to_str().unwrap();
    let output = record(&["--known", filter, "-d", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("filter.json: not a filter of known behaviour") && said.contains("replay profile export"),
        "{said}"
    );
    assert!(!dir.path().join("recording").exists());
    // A command has no image that something could be known of.
    assert_eq!(record(&["--known", filter, "--", "true"]).status.code(), Some(2));
}
