//! One self-contained HTML page of results that other commands wrote: pictures, the numbers behind them, and inputs of one kind
//! side by side. No script, nothing loaded from elsewhere.

mod charts;
mod detection;
mod others;
mod overhead;
mod read;
mod view;

use std::path::PathBuf;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use crate::error::{Error, Result};
use read::{Input, Kind};
use view::Section;

const TEMPLATE: &str = include_str!("report.html");

/// The page. Inputs: directories or JSON files of `detect --all`, `overhead`, `curve`, `soak`, `latency` and `growth`.
///
/// # Errors
/// [`Error::Unreported`]: one cannot be read, or is something else.
pub fn page(inputs: &[PathBuf]) -> Result<String> {
    let mut inputs: Vec<Input> = inputs.iter().map(|path| read::input(path)).collect::<Result<_>>()?;
    read::tell_apart(&mut inputs);
    let sections = sections(&inputs)?;
    render(&inputs, &sections).map_err(|error| Error::run("rendering the page", error))
}

fn sections(inputs: &[Input]) -> Result<Vec<Section>> {
    macro_rules! of_kind {
        ($kind:ident) => {
            inputs
                .iter()
                .filter_map(|input| match &input.kind {
                    Kind::$kind(found) => Some((&*input.name, &**found)),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
    }
    let sections = [
        detection::section(&of_kind!(Detection))?,
        overhead::section(&of_kind!(Overhead))?,
        others::capture(&of_kind!(Curve))?,
        others::soak(&of_kind!(Soak))?,
        others::latency(&of_kind!(Latency))?,
        others::growth(&of_kind!(Growth))?,
    ];
    Ok(sections.into_iter().flatten().collect())
}

fn render(inputs: &[Input], sections: &[Section]) -> std::result::Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name's ending turns escaping on.
    environment.add_template("report.html", TEMPLATE)?;
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| context! { name => input.name.clone(), path => input.path.display().to_string(), kind => input.kind.name(), machine => input.machine() })
        .collect();
    let context = context! { inputs => inputs, sections => Value::from(Serde(sections)) };
    environment.get_template("report.html")?.render(context)
}
