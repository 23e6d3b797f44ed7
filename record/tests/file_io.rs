//! Reads and writes: summed per descriptor, and with `--file-io calls` one by one.

mod common;

use std::process::Command;

use common::{Recorded, can_record, one, record_with};
use record_bpf::Kind;

/// Every system call that moves bytes of files, and messages of a socket pair several at a time.
const MOVES: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#define OK(n, call) do { if ((call) != (n)) { perror(#call); exit(1); } } while (0)
int main(int argc, char **argv) {
	char a[4000], b[4000];
	struct iovec io[2] = { { a, 1000 }, { b, 500 } };
	memset(a, 'a', sizeof(a)); memset(b, 'b', sizeof(b));
	if (chdir(argv[1])) return 1;
	int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600), out = open("out", O_RDWR | O_CREAT, 0600), p[2];
	OK(4000, write(fd, a, 4000));
	OK(1500, writev(fd, io, 2));
	OK(100, pwrite(fd, b, 100, 7));
	OK(1500, pwritev(fd, io, 2, 10));
	OK(1500, pwritev2(fd, io, 2, 20, 0));
	OK(1500, pwritev2(fd, io, 2, -1, 0));
	lseek(fd, 0, SEEK_SET);
	OK(300, read(fd, a, 300));
	OK(1500, readv(fd, io, 2));
	OK(100, pread(fd, a, 100, 30));
	OK(1500, preadv(fd, io, 2, 40));
	OK(1500, preadv2(fd, io, 2, 50, 0));
	OK(1500, preadv2(fd, io, 2, -1, 0));
	off_t at = 60;
	OK(200, sendfile(out, fd, &at, 200));
	OK(300, sendfile(out, fd, NULL, 300));
	OK(150, copy_file_range(fd, NULL, out, NULL, 150, 0));
	pipe(p);
	OK(64, splice(fd, NULL, p[1], NULL, 64, 0));
	OK(64, splice(p[0], NULL, out, NULL, 64, 0));
	OK(-1, write(p[0], a, 1)); /* a pipe is no file of ours */
	int ro = open("data", O_RDONLY);
	OK(-1, write(ro, a, 5)); /* EBADF */
	close(ro); close(fd); close(out);

	int s[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
	struct iovec parts[3] = { { a, 10 }, { a, 200 }, { a, 3000 } }, room[3] = { { b, 4000 }, { b, 4000 }, { b, 4000 } };
	struct mmsghdr m[3] = { 0 };
	for (int i = 0; i < 3; i++) m[i].msg_hdr.msg_iov = parts + i, m[i].msg_hdr.msg_iovlen = 1;
	OK(3, sendmmsg(s[0], m, 3, 0));
	for (int i = 0; i < 3; i++) m[i].msg_hdr.msg_iov = room + i;
	OK(2, recvmmsg(s[1], m, 2, 0, NULL));
	printf("%d %d\n", s[0], s[1]);
	close(s[0]); close(s[1]);
	return 0;
}
"#;

fn moves(options: &[&str]) -> (Recorded, String) {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("moves.c"), dir.path().join("moves"));
    std::fs::write(&source, MOVES).unwrap();
    assert!(Command::new("cc").arg("-w").arg("-o").arg(&program).arg(&source).status().unwrap().success());
    let path = dir.path().to_str().unwrap().to_owned();
    let run = record_with(options, &[program.to_str().unwrap(), &path]);
    assert!(!run.output.stdout.is_empty() && !String::from_utf8_lossy(&run.output.stderr).contains("exited with"));
    (run, path)
}

fn rows(run: &Recorded, kind: Kind, path: &str) -> Vec<(i32, Option<u64>)> {
    run.file(kind, path).iter().map(|row| (row.ret, row.offset)).collect()
}

#[test]
fn every_call_that_moves_bytes_has_a_row_when_asked_for() {
    if !can_record("every_call_that_moves_bytes_has_a_row_when_asked_for") {
        return;
    }
    let (run, dir) = moves(&["--file-io", "calls"]);
    let (data, out) = (format!("{dir}/data"), format!("{dir}/out"));
    let at = |bytes, offset| (bytes, Some(offset));
    assert_eq!(
        rows(&run, Kind::Write, &data),
        [at(4000, 0), at(1500, 4000), at(100, 7), at(1500, 10), at(1500, 20), at(1500, 5500), at(-libc::EBADF, 0)]
    );
    assert_eq!(
        rows(&run, Kind::Read, &data),
        [
            at(300, 0),
            at(1500, 300),
            at(100, 30),
            at(1500, 40),
            at(1500, 50),
            at(1500, 1800),
            (200, None), // its offset is in the caller's memory
            at(300, 3300),
            at(150, 3600),
            at(64, 3750),
        ]
    );
    assert_eq!(rows(&run, Kind::Write, &out), [at(200, 0), at(300, 200), at(150, 500), at(64, 650)]);
    let mut each = run.files(Kind::Read).chain(run.files(Kind::Write));
    assert!(each.all(|row| row.fd.is_some() && row.inode.is_some() && !row.path_from_user));
    sums_are_right(&run, &dir);
}

#[test]
fn without_it_only_the_sums_are_there() {
    if !can_record("without_it_only_the_sums_are_there") {
        return;
    }
    let (run, dir) = moves(&[]);
    assert_eq!(run.files(Kind::Read).chain(run.files(Kind::Write)).count(), 0);
    sums_are_right(&run, &dir);
}

fn sums_are_right(run: &Recorded, dir: &str) {
    let closes = run.file(Kind::Close, &format!("{dir}/data"));
    let data = one(closes.into_iter().filter(|row| row.writes != Some(0)).collect());
    assert_eq!((data.bytes_written, data.writes), (Some(4000 + 1500 + 100 + 1500 * 3), Some(6)));
    assert_eq!((data.bytes_read, data.reads), (Some(300 + 1500 + 100 + 1500 * 3 + 200 + 300 + 150 + 64), Some(10)));
    let out = one(run.file(Kind::Close, &format!("{dir}/out")));
    assert_eq!((out.bytes_written, out.writes), (Some(200 + 300 + 150 + 64), Some(4)));
    let stdout = String::from_utf8_lossy(&run.output.stdout).into_owned();
    let (sender, receiver) = stdout.lines().next().unwrap().split_once(' ').unwrap();
    let closed = |fd: &str| {
        one(run.network(Kind::NetClose).filter(|row| row.fd.to_string() == fd && &*row.family == "unix").collect())
    };
    assert_eq!(closed(sender).bytes_sent, Some(3210), "sendmmsg of three");
    assert_eq!(closed(receiver).bytes_received, Some(210), "recvmmsg of two");
}
