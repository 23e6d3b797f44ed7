//! The notebooks' cells, run on recordings that ship. Needs what `./dev setup base` sets up; left out, and said so, without the
//! Python packages of `./dev setup record`.

use std::path::Path;
use std::process::Command;

#[test]
fn every_notebook_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".cache/notebooks/bin/python");
    if !python.is_file() {
        eprintln!("\n*** SKIPPED every_notebook_runs: {} is not there; ./dev setup makes it ***\n", python.display());
        return;
    }
    let has_package = Command::new(&python).current_dir(root).args(["-c", "import retroscope"]).output();
    if !has_package.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "\n*** SKIPPED every_notebook_runs: the package retroscope is not installed there; ./dev test does that ***\n"
        );
        return;
    }
    let output =
        Command::new(python).arg(root.join("notebooks/run.py")).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.matches("ok: ").count() >= 5, "{said}");
}
