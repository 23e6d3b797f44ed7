//! The options that choose a part of a recording.

use datasets::Recording;
use datasets::select::{Selection, moment};
use record_bpf::Class;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is chosen (of one kind any, of several kinds all)")]
pub struct Selected {
    /// Only these event classes, separated by commas: process, security, file, network, dns, tls, flow, syscall, resource
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    classes: Vec<Class>,
    /// Not before: 2026-11-22T10:00:00Z, or since the recording's begin: +90, +1.5, +1m30s
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before, given in the same ways
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only containers of this name, or whose id begins so; 'host': outside containers
    #[arg(long = "container", value_name = "X")]
    containers: Vec<String>,
    /// Only containers of this image
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
    /// Only this process and all that descends from it: a process id, or an incarnation (exec_id)
    #[arg(long = "tree", value_name = "PID")]
    trees: Vec<u64>,
}

fn class(text: &str) -> Result<Class, String> {
    let names = || Class::ALL.map(Class::name).join(", ");
    Class::from_name(text).ok_or_else(|| format!("no such class; there are: {}", names()))
}

impl Selected {
    pub fn selection(&self, recording: &Recording) -> datasets::Result<Selection> {
        let started = recording.manifest().started.ns;
        let at = |text: &Option<String>| {
            let parsed = text.as_deref().map(|text| moment(text, started)).transpose();
            parsed.map_err(|reason| datasets::Error::Selection { reason })
        };
        Ok(Selection {
            classes: self.classes.clone(),
            from: at(&self.from)?,
            to: at(&self.to)?,
            containers: self.containers.clone(),
            images: self.images.clone(),
            trees: self.trees.clone(),
        })
    }
}
