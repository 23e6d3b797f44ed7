//! Numbers and tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// 1234567 as 1,234,567.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in powers of ten, as disks are sold and `ls --si` prints.
pub fn bytes(n: u64) -> String {
    match n {
        0..1000 => format!("{n} B"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// A span of time, s.
pub fn seconds(s: f64) -> String {
    if s < 120.0 {
        return format!("{s:.1} s");
    }
    let whole = s.round() as u64;
    let (h, m, s) = (whole / 3600, whole / 60 % 60, whole % 60);
    if h > 0 { format!("{h} h {m:02} min {s:02} s") } else { format!("{m} min {s:02} s") }
}

/// Aligned columns without borders, indented by two; `right`: columns of numbers.
pub fn table(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    // No wider than the terminal, where there is one.
    if let Some(width) = table.width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width - 1);
    }
    for row in rows {
        table.add_row(row.clone());
    }
    for at in right {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

/// A value as a cell shows it.
pub fn plain(value: Value, between: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(items) => items.into_iter().map(|item| plain(item, between)).collect::<Vec<_>>().join(between),
        other => other.to_string(),
    }
}

/// A cell of CSV, as RFC 4180 has it.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Columns that a terminal has at least.
const WIDTH: usize = 80;

/// Broken at spaces; it begins in column `indent`, and so do its further lines.
pub fn wrapped(text: &str, indent: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for (at, word) in text.split(' ').enumerate() {
        let width = word.width();
        if at > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(["0", "999", "1,000", "12,345,678"].map(str::to_owned), [0, 999, 1000, 12_345_678].map(count));
        assert_eq!(["999 B", "1.0 kB", "12.3 MB"].map(str::to_owned), [999, 1000, 12_345_678].map(bytes));
        assert_eq!(["90.0 s", "2 min 05 s", "1 h 00 min 01 s"].map(str::to_owned), [90.0, 125.0, 3601.0].map(seconds));
    }

    #[test]
    fn long_lines_are_broken_within_80_columns() {
        let text = "word ".repeat(40);
        let whole = wrapped(text.trim(), 12);
        let lines: Vec<&str> = whole.lines().collect();
        assert!(lines.len() == 4 && lines[0].len() <= 68, "{whole}");
        assert!(lines[1..].iter().all(|line| line.len() <= 80 && line.starts_with(&" ".repeat(12))), "{whole}");
        assert_eq!(whole.split_whitespace().count(), 40);
        assert_eq!(wrapped("short", 12), "short");
    }
}
