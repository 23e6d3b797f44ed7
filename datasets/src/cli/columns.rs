//! A table whose rows come one after the other: widths are those of the first rows, the last column takes what is left. Of the
//! others the end is shown where there is no room: names and paths differ there.

use std::io::IsTerminal;

use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between columns.
const GAP: usize = 2;

/// Cells of a column but the last, at most.
const WIDEST: usize = 24;

/// Columns of one width in all rows, which do not give way.
const FIXED: [&str; 5] = ["clock", "time", "ts", "class", "event"];

/// Cells that a column keeps, however narrow the terminal is.
const NARROWEST: usize = 6;

/// Cells that the others leave to the last column, if they can.
const LEAST: usize = 24;

pub struct Columns {
    names: Vec<String>,
    widths: Vec<usize>,
    /// Nothing is cut where there is none.
    limit: Option<usize>,
}

impl Columns {
    /// `rows`: the first ones.
    pub fn new(names: &[&str], rows: &[Vec<String>]) -> Columns {
        Columns::with_limit(names, rows, width())
    }

    fn with_limit(names: &[&str], rows: &[Vec<String>], limit: Option<usize>) -> Columns {
        let last = names.len().saturating_sub(1);
        let widest = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
            cells.chain([names[at].width()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..last).map(widest).collect();
        if let Some(limit) = limit {
            let gives = |at: &usize| !FIXED.contains(&names[*at]);
            (0..last).filter(gives).for_each(|at| widths[at] = widths[at].min(WIDEST));
            // The widest gives first, until the last column has room.
            while widths.iter().sum::<usize>() + GAP * last + LEAST > limit {
                let widest = (0..last).filter(gives).max_by_key(|at| widths[*at]);
                let Some(at) = widest.filter(|at| widths[*at] > NARROWEST) else { break };
                widths[at] -= 1;
            }
        }
        Columns { names: names.iter().map(|name| (*name).to_owned()).collect(), widths, limit }
    }

    pub fn header(&self) -> String {
        self.line(&self.names)
    }

    pub fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        let mut used = 0;
        for (at, cell) in cells.iter().enumerate() {
            let shown = match (self.widths.get(at), self.limit) {
                (_, None) => cell.clone(),
                (Some(width), Some(limit)) => end_of(cell, (*width).min(limit.saturating_sub(used))),
                (None, Some(limit)) => cut(cell, limit.saturating_sub(used)),
            };
            let width = shown.width();
            line.push_str(&shown);
            if let Some(column) = self.widths.get(at) {
                let pad = column.saturating_sub(width) + GAP;
                let pad = self.limit.map_or(pad, |limit| pad.min(limit.saturating_sub(used + width)));
                line.push_str(&" ".repeat(pad));
                used += width + pad;
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Of the terminal that stdout is, or as `COLUMNS` says.
fn width() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|width| *width > 0);
    let stdout = std::io::stdout();
    let of_terminal = || terminal_size_of(&stdout).map(|(Width(width), _)| usize::from(width));
    told.or_else(|| if stdout.is_terminal() { of_terminal() } else { None })
}

/// The end of a text, with a mark where some of it is missing.
fn end_of(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    cut(&text.chars().rev().collect::<String>(), room).chars().rev().collect()
}

/// The begin of a text, with a mark where some of it is missing.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > room {
            break;
        }
        out.push(c);
    }
    if room > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_table_fits_the_terminal_and_is_whole_in_a_pipe() {
        let names = ["clock", "container_name", "what"];
        let rows =
            [row(&["10:00:00.000001", "a-container-with-a-long-name-indeed", "opens /etc/passwd and much more"])];
        for limit in [20, 30, 40, 60, 80] {
            let columns = Columns::with_limit(&names, &rows, Some(limit));
            for line in [columns.header(), columns.line(&rows[0])] {
                assert!(line.width() <= limit, "{limit}: {line:?}");
            }
        }
        let narrow = Columns::with_limit(&names, &rows, Some(60)).line(&rows[0]);
        assert!(narrow.contains("…") && narrow.contains("indeed  opens") && narrow.ends_with('…'), "{narrow}");
        let whole = Columns::with_limit(&names, &rows, None);
        assert_eq!(whole.line(&rows[0]), rows[0].join("  "));
        assert_eq!(whole.line(&row(&["1", "b", "c"])).find('c'), whole.line(&rows[0]).find("opens"));
    }

    #[test]
    fn wide_characters_take_two_cells() {
        assert_eq!(cut("容器容器", 5), "容器…");
        assert_eq!([end_of("容器容器", 5), end_of("abc", 3)], ["…容器", "abc"]);
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 0), "");
    }
}
