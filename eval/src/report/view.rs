//! What a page consists of.

use serde::Serialize;

/// Results of one kind.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Of its heading, for links.
    pub id: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    /// Inputs side by side.
    pub compared: Vec<Table>,
    pub parts: Vec<Part>,
}

/// One input.
#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub notes: Vec<String>,
    pub figures: Vec<Figure>,
}

/// A picture with its numbers; or a table alone.
#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub title: String,
    /// What is to be seen, for those who do not see it.
    pub alt: String,
    /// Empty: a table alone.
    pub svg: String,
    pub tables: Vec<Table>,
}

#[derive(Debug, Default, Serialize)]
pub struct Table {
    pub caption: String,
    pub header: Vec<String>,
    /// The first cell of a row names it.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(caption: impl Into<String>, header: &[&str], rows: Vec<Vec<String>>) -> Table {
        Table { caption: caption.into(), header: header.iter().map(|name| (*name).to_owned()).collect(), rows }
    }
}

/// A quantity of several inputs.
pub struct Quantity {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

/// Inputs side by side, each but the first with its difference to it. None: there is one only.
pub fn compared(caption: &str, inputs: &[&str], quantities: &[Quantity]) -> Option<Table> {
    let (first, others) = inputs.split_first()?;
    if others.is_empty() {
        return None;
    }
    let mut header = vec!["".to_owned(), (*first).to_owned()];
    for other in others {
        header.extend([(*other).to_owned(), format!("{other} − {first}")]);
    }
    let row = |quantity: &Quantity| {
        let (first, others) = (quantity.values[0], &quantity.values[1..]);
        let mut row = vec![quantity.name.clone(), number(first)];
        for other in others {
            let difference = first.zip(*other).map(|(first, other)| other - first);
            row.extend([number(*other), difference.map_or_else(dash, |difference| format!("{difference:+.3}"))]);
        }
        row
    };
    Some(Table { caption: caption.to_owned(), header, rows: quantities.iter().map(row).collect() })
}

pub fn dash() -> String {
    "-".to_owned()
}

/// Three decimals, none of a whole number.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") })
}

/// With its interval.
pub fn between(value: Option<f64>, interval: Option<&[f64; 2]>) -> String {
    match (value, interval) {
        (Some(_), Some([low, high])) => format!("{} [{low:.3}, {high:.3}]", number(value)),
        _ => number(value),
    }
}
