//! Tables and times for people.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};

/// Aligned columns without borders, indented by two, no wider than the terminal where there is one.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    if let Some(width) = table.width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width - 1);
    }
    for row in rows {
        table.add_row(row.clone());
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

/// 65 s as `1:05`.
pub fn clock(duration: Duration) -> String {
    let s = duration.as_secs();
    format!("{}:{:02}", s / 60, s % 60)
}

/// A command as one would type it.
pub fn command_line(parts: &[String]) -> String {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,{}*".contains(c));
    let quote = |part: &String| if plain(part) { part.clone() } else { format!("'{}'", part.replace('\'', r"'\''")) };
    parts.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let line = ["sh", "-c", "echo it's; id", ""].map(str::to_owned);
        assert_eq!(command_line(&line), r"sh -c 'echo it'\''s; id' ''");
        assert_eq!(clock(Duration::from_secs(125)), "2:05");
    }
}
