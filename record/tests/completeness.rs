//! No empty path and no empty argv, ever, where the kernel knew it: also when not a page of the program, of its name or of
//! its arguments is in memory, which is what recorders that read the caller's memory at the call's begin lose.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{Recorded, can_record, record, record_with};
use datasets::Event;
use record_bpf::Kind;

const EXECS: usize = 2000;

/// Opens one file that is there and one that is not. Their names lie a megabyte behind the code, on a page that nothing
/// but the kernel touches: reading ahead around the code does not bring it in.
const TINY: &str = r#"
static long call(long nr, long a, long b, long c) {
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}
struct names { char pad[1 << 20], found[64], missing[64]; };
__attribute__((aligned(4096))) const struct names names = { .found = "found", .missing = "missing" };
void _start(void) {
	long fd = call(2, (long)names.found, 0, 0);
	call(3, fd, 0, 0);
	long missing = call(2, (long)names.missing, 0, 0);
	call(231, fd >= 0 && missing == -2 ? 0 : 1, 0, 0);
}
"#;

/// argv: directory, count. Runs DIR/tiny that often from DIR/0 ... DIR/7, after dropping every page of it and of the file
/// that the path and the arguments of the exec lie in. Prints how often all of them were gone right before the exec.
const STORM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
enum { PAGE = 4096 };
struct file { int fd; char *map; size_t size; };
static struct file open_file(const char *path) {
	struct stat st;
	struct file f = { open(path, O_RDONLY) };
	if (f.fd < 0 || fstat(f.fd, &st)) { perror(path); exit(2); }
	f.size = st.st_size;
	f.map = mmap(NULL, f.size, PROT_READ, MAP_SHARED, f.fd, 0);
	return f;
}
static int gone(struct file *f) {
	static unsigned char in_memory[4096];
	size_t pages = (f->size + PAGE - 1) / PAGE;
	madvise(f->map, f->size, MADV_DONTNEED);
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (mincore(f->map, f->size, in_memory)) return 0;
	for (size_t i = 0; i < pages; i++)
		if (in_memory[i] & 1) return 0;
	return 1;
}
int main(int argc, char **argv) {
	int count = atoi(argv[2]), *cold = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (chdir(argv[1])) return 2;
	for (int i = 0; i < count; i++) {
		char words[PAGE] = { 0 };
		int fd = open("words", O_WRONLY | O_CREAT | O_TRUNC, 0600), status;
		snprintf(words, 1024, "%s/tiny", argv[1]);
		strcpy(words + 1024, "tiny-as-argv0");
		snprintf(words + 2048, 64, "--number=%d", i);
		if (write(fd, words, PAGE) != PAGE || fdatasync(fd) || close(fd)) return 2;
		pid_t pid = fork();
		if (!pid) {
			char to[16];
			struct file program = open_file("tiny"), strings = open_file("words");
			char *args[] = { strings.map + 1024, strings.map + 2048, NULL }, *none[] = { NULL };
			snprintf(to, sizeof(to), "%d", i % 8);
			if (chdir(to)) _exit(2);
			*cold += gone(&program) & gone(&strings);
			execve(strings.map, args, none);
			_exit(3);
		}
		if (waitpid(pid, &status, 0) != pid || status) { fprintf(stderr, "%d: status %#x\n", i, status); return 1; }
	}
	printf("%d\n", *cold);
	return 0;
}
"#;

fn compile(dir: &Path, name: &str, source: &str, options: &[&str]) -> String {
    let (from, to) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&from, source).unwrap();
    assert!(Command::new("cc").args(options).arg("-o").arg(&to).arg(&from).status().unwrap().success());
    to.to_str().unwrap().to_owned()
}

/// What must hold of every row, whatever was recorded.
fn assert_complete(run: &Recorded) {
    for event in &run.events {
        match event {
            Event::Process(row) if row.common.kind == Kind::Exec => {
                assert!(row.exe.as_deref().is_some_and(|exe| exe.starts_with('/')), "no executable: {row:?}");
                assert!(row.argv.as_deref().is_some_and(|argv| !argv.is_empty()), "no argv: {row:?}");
                assert!(row.cwd.as_deref().is_some_and(|cwd| cwd.starts_with('/')), "no cwd: {row:?}");
                assert_eq!(row.argv_truncated, Some(false), "{row:?}");
            }
            Event::File(row) => {
                // A symbolic link's target is what it was given; the link itself is the new path.
                let named = if row.common.kind == Kind::Symlink { &row.new_path } else { &row.path };
                assert!(named.as_deref().is_some_and(|path| path.starts_with('/')), "no path: {row:?}");
                assert!(row.path.as_deref().is_some_and(|path| !path.is_empty()), "no path: {row:?}");
                assert!(!row.path_truncated, "{row:?}");
                if row.common.kind == Kind::Open && row.ret >= 0 {
                    assert!(!row.path_from_user && row.inode.is_some(), "not from the kernel: {row:?}");
                }
            }
            _ => {}
        }
    }
    for cause in ["read_fault", "path_truncated", "argv_truncated", "proc_table_full", "fd_table_full"] {
        assert_eq!(run.manifest.accounting.as_ref().unwrap().failures[cause], 0, "{cause}");
    }
}

#[test]
fn every_exec_and_open_of_a_program_that_is_not_in_memory_is_complete() {
    if !can_record("every_exec_and_open_of_a_program_that_is_not_in_memory_is_complete") {
        return;
    }
    // Not /tmp, which is in memory on many machines: such pages cannot be dropped.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = dir.path().to_str().unwrap();
    let tiny = compile(dir.path(), "tiny", TINY, &["-static", "-nostdlib", "-O1", "-fno-stack-protector"]);
    let storm = compile(dir.path(), "storm", STORM, &["-O1", "-w"]);
    for n in 0..8 {
        std::fs::create_dir(dir.path().join(n.to_string())).unwrap();
        std::fs::write(dir.path().join(format!("{n}/found")), "").unwrap();
    }
    std::fs::File::open(&tiny).unwrap().sync_all().unwrap(); // dirty pages cannot be dropped
    let run = record_with(&["--events", "process,file"], &[&storm, path, &EXECS.to_string()]);
    let cold: usize = String::from_utf8_lossy(&run.output.stdout).lines().next().unwrap().parse().unwrap();
    eprintln!("{cold} of {EXECS} execs with no page of the program, its name or its arguments in memory");
    assert!(cold >= EXECS * 99 / 100, "the pages were dropped before {cold} of {EXECS} execs only");

    assert_complete(&run);
    let mut numbers = BTreeSet::new();
    for row in run.process(Kind::Exec).filter(|row| row.exe.as_deref() == Some(tiny.as_str())) {
        let argv = row.argv.as_deref().unwrap();
        assert_eq!((argv.len(), &*argv[0]), (2, "tiny-as-argv0"));
        let number: usize = argv[1].strip_prefix("--number=").unwrap().parse().unwrap();
        assert_eq!(row.cwd.as_deref(), Some(format!("{path}/{}", number % 8).as_str()));
        assert!(numbers.insert(number), "{number} twice");
    }
    assert!(numbers.into_iter().eq(0..EXECS), "every exec is there");
    for n in 0..8 {
        assert_eq!(run.file(Kind::Open, &format!("{path}/{n}/found")).len(), EXECS / 8);
        let missing = run.file(Kind::Open, &format!("{path}/{n}/missing"));
        assert_eq!(missing.len(), EXECS / 8);
        assert!(missing.iter().all(|row| row.ret == -libc::ENOENT && row.path_from_user));
    }
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn every_row_of_ordinary_work_is_complete() {
    if !can_record("every_row_of_ordinary_work_is_complete") {
        return;
    }
    let script = "cd $(mktemp -d) && for i in 1 2 3 4 5; do echo $i > f$i; cp f$i g$i; ln -s f$i s$i; mv g$i h$i; done;
        find /etc -maxdepth 2 -type f -readable 2>/dev/null | head -200 | xargs grep -l root > found;
        tar -cf all.tar . && mkdir x && tar -C x -xf all.tar && rm -r x && ls -lR . | sort | uniq -c | wc -l && rm -r $PWD";
    let run = record(&["bash", "-c", script]);
    assert!(run.process(Kind::Exec).count() >= 20 && run.files(Kind::Open).count() >= 300);
    assert_eq!(run.files(Kind::Symlink).count(), 10, "five by ln, five by tar");
    assert_complete(&run);
}
