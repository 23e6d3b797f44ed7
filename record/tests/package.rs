//! The Debian package: what is in it, and that the recorder that is installed from it is whole.

use std::path::Path;
use std::process::Command;

#[test]
fn a_package_holds_the_recorder_its_unit_pages_and_completions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (out, place) = (dir.path().join("out"), dir.path().join("place"));
    let build = |out: &Path| {
        // Compressed the quick way: this program has its debugging information.
        let mut script = Command::new(root.join("setup/deb.sh"));
        script.arg(env!("CARGO_BIN_EXE_record")).arg(out).env("DEB_COMPRESSION", "-Zgzip").env("NO_COLOR", "1");
        script.env("SOURCE_DATE_EPOCH", "1800000000").output().unwrap()
    };
    let built = build(&out);
    if built.status.code() == Some(3) {
        eprintln!("\n*** SKIPPED the package was NOT built: {} ***\n", String::from_utf8_lossy(&built.stderr));
        return;
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let package = String::from_utf8(built.stdout).unwrap().trim().to_owned();
    let dpkg = |args: &[&str]| {
        let output = Command::new("dpkg-deb").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(dpkg(&["--field", &package, "Version"]).trim(), env!("CARGO_PKG_VERSION"));
    let depends = dpkg(&["--field", &package, "Depends"]);
    assert!(depends.contains("libc6 (>=") && depends.contains("libelf1"), "{depends}");

    dpkg(&["--extract", &package, place.to_str().unwrap()]);
    let read = |file: &str| std::fs::read(place.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    for file in [
        "etc/retroscope/filters.toml",
        "usr/share/man/man1/record.1.gz",
        "usr/share/man/man1/record-check.1.gz",
        "usr/share/bash-completion/completions/record",
        "usr/share/zsh/vendor-completions/_record",
        "usr/share/fish/vendor_completions.d/record.fish",
        "usr/share/doc/retroscope-record/copyright",
        "usr/share/doc/retroscope-record/changelog.gz",
    ] {
        assert!(!read(file).is_empty(), "{file}");
    }
    let unit = String::from_utf8(read("usr/lib/systemd/system/retroscope-record.service")).unwrap();
    assert!(unit.contains("exec /usr/bin/record ") && !unit.contains("/usr/local"), "{unit}");
    let crates = String::from_utf8(read("usr/share/doc/retroscope-record/crates.txt")).unwrap();
    assert!(crates.lines().any(|line| line.starts_with("libbpf-rs v")), "{crates}");
    let said = Command::new(place.join("usr/bin/record")).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), concat!("record ", env!("CARGO_PKG_VERSION")));

    let again = dir.path().join("again");
    assert!(build(&again).status.success());
    let name = Path::new(&package).file_name().unwrap();
    assert!(
        std::fs::read(&package).unwrap() == std::fs::read(again.join(name)).unwrap(),
        "the same program in another package"
    );
}
