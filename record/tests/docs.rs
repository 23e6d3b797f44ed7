//! What the docs say of the recorder is what it does: tables are written from the code, and compared.

use std::path::Path;
use std::sync::Mutex;

use record::mask::table;

/// Set it to write the tables anew.
const UPDATE: &str = "RETROSCOPE_UPDATE_DOCS";

static FILE: Mutex<()> = Mutex::new(());

/// The text between `<!-- NAME: … -->` and `<!-- /NAME -->` in record/README.md is `table`.
fn holds(name: &str, table: &str) {
    // One at a time: each writes the whole file.
    let _alone = FILE.lock();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let begin = text.find(&format!("<!-- {name}: ")).expect("the table's place");
    let begin = begin + text[begin..].find("-->\n").unwrap() + 4;
    let end = begin + text[begin..].find(&format!("<!-- /{name} -->")).expect("the table's end");
    let wanted = format!("\n{table}\n");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, [&text[..begin], &wanted, &text[end..]].concat()).unwrap();
    } else {
        assert_eq!(text[begin..end], wanted, "run: {UPDATE}=1 cargo test -p record --test docs");
    }
}

#[test]
fn the_table_of_metrics_is_the_recorders_own() {
    holds("metrics", &record::live::metrics::markdown());
}

#[test]
fn the_table_of_capabilities_is_the_recorders_own() {
    holds("capabilities", &record::privileges::markdown());
}

#[test]
fn the_table_of_masks_is_the_patterns_own() {
    holds("masks", &table::markdown(&table::table()));
}
