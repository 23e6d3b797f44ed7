//! Numbers and tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

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

/// Stands for a number that is not defined, as a share of nothing.
pub const NONE: &str = "-";

pub fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| NONE.to_owned())
}

/// 0.98765 as 98.77 %; never rounded up to a whole that it is not.
pub fn percent(share: Option<f64>) -> String {
    or_none(share.map(|share| match share {
        s if s < 1.0 && s > 0.9999 => format!("{} %", (s * 1e6).floor() / 1e4),
        s if s > 0.0 && s < 0.0001 => format!("{:.1e} %", s * 100.0),
        s => format!("{:.2} %", s * 100.0),
    }))
}

/// Text from recordings: control characters escaped, so that they do not act on the terminal.
pub fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Aligned columns without borders, indented by two. The first `left` columns are text, the others numbers.
pub fn table(header: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    // No wider than the terminal, where there is one.
    if let Some(width) = table.width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width - 1);
    }
    for row in rows {
        table.add_row(row.clone());
    }
    for at in left..header.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_to_what_they_are_not() {
        let shares = [None, Some(0.0), Some(0.5), Some(1.0), Some(0.999_999), Some(0.000_012)];
        assert_eq!(shares.map(percent), ["-", "0.00 %", "50.00 %", "100.00 %", "99.9999 %", "1.2e-3 %"]);
    }

    #[test]
    fn control_characters_show() {
        assert_eq!(clean("a\u{1b}[2Jé"), "a\\u{1b}[2Jé");
    }
}
