//! Bytes from the kernel as text.

use std::fmt::Write as _;

/// Names leaf first, each with its NUL, to an absolute path.
pub fn kernel_path(bytes: &[u8]) -> String {
    let mut path = String::with_capacity(bytes.len() + 1);
    for name in bytes.split(|&byte| byte == 0).rev().filter(|name| !name.is_empty()) {
        path.push('/');
        push_text(&mut path, name);
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// A path argument, made absolute with the directory it starts from; `.` components are dropped, `..` stays as given.
pub fn user_path(path: &[u8], base: &[u8]) -> String {
    let path = until_nul(path);
    let mut absolute = if path.first() == Some(&b'/') { String::new() } else { kernel_path(base) };
    if absolute == "/" {
        absolute.clear();
    }
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        absolute.push('/');
        push_text(&mut absolute, name);
    }
    if absolute.is_empty() { "/".to_owned() } else { absolute }
}

pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// UTF-8, with every byte that is not as `\xNN`.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    push_text(&mut out, bytes);
    out
}

fn push_text(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_paths_come_leaf_first() {
        assert_eq!(kernel_path(b"passwd\0etc\0"), "/etc/passwd");
        assert_eq!(kernel_path(b""), "/");
        assert_eq!(kernel_path(b"memfd:x\0"), "/memfd:x");
        assert_eq!(kernel_path(b"caf\xe9\0tmp\0"), "/tmp/caf\\xe9");
    }

    #[test]
    fn user_paths_start_from_their_base() {
        assert_eq!(user_path(b"/etc//./hosts\0", b""), "/etc/hosts");
        assert_eq!(user_path(b"./a/../b\0", b"srv\0"), "/srv/a/../b");
        assert_eq!(user_path(b"x\0", b""), "/x");
        assert_eq!(user_path(b".\0", b"app\0srv\0"), "/srv/app");
    }
}
