//! Filters by pod, namespace and label: all of those given must match.

use clap::Args;
use datasets::Container;
use globset::GlobSet;

use crate::error::{Error, Result};
use crate::filter::globs;

#[derive(Clone, Debug, Default, Args)]
pub struct PodArgs {
    /// Only containers of pods whose name matches; with the other filters, only what matches both
    #[arg(long, value_name = "PATTERN", help_heading = "Filters", conflicts_with_all = ["command", "scenario"])]
    pub pod: Vec<String>,
    /// Only containers of pods in Kubernetes namespaces that match
    #[arg(long, value_name = "PATTERN", help_heading = "Filters", conflicts_with_all = ["command", "scenario"])]
    pub namespace: Vec<String>,
    /// Only containers with this label; the value may be a pattern. Repeated: with all of them
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Filters", conflicts_with_all = ["command", "scenario"])]
    pub label: Vec<String>,
}

/// Conditions on a container, ready to be checked.
#[derive(Debug, Default)]
pub struct Narrow {
    pods: GlobSet,
    namespaces: GlobSet,
    /// Of each label its key and the patterns of its value.
    labels: Vec<(String, GlobSet)>,
}

impl Narrow {
    /// # Errors
    /// A bad pattern, or a label without `=`.
    pub fn new(args: &PodArgs) -> Result<Narrow> {
        let label = |text: &String| {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| Error::Usage(format!("bad label '{text}': give KEY=VALUE, as --label app=shop")))?;
            Ok((key.to_owned(), globs(&[value.to_owned()])?))
        };
        let labels = args.label.iter().map(label).collect::<Result<_>>()?;
        Ok(Narrow { pods: globs(&args.pod)?, namespaces: globs(&args.namespace)?, labels })
    }

    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.namespaces.is_empty() && self.labels.is_empty()
    }

    /// The conditions in words.
    pub fn text(args: &PodArgs) -> impl Iterator<Item = String> {
        let words = [("pod", &args.pod), ("namespace", &args.namespace), ("label", &args.label)];
        words.into_iter().flat_map(|(what, patterns)| patterns.iter().map(move |pattern| format!("{what} = {pattern}")))
    }

    /// Whether a container fulfils all of them. What is not known of it does not match.
    pub fn matches(&self, container: &Container) -> bool {
        let fits = |set: &GlobSet, value: &Option<String>| {
            set.is_empty() || value.as_ref().is_some_and(|text| set.is_match(text))
        };
        fits(&self.pods, &container.pod) && fits(&self.namespaces, &container.namespace) && self.labels_match(container)
    }

    fn labels_match(&self, container: &Container) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let labels = container.labels.as_deref().and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
        self.labels.iter().all(|(key, value)| {
            let found = labels.as_ref().and_then(|labels| labels.get(key)?.as_str());
            found.is_some_and(|found| value.is_match(found))
        })
    }
}
