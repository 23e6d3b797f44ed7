//! What is recorded. The answer per cgroup goes into the kernel; only cgroups not yet judged are decided here.

use datasets::Container;
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};
use crate::narrow::{Narrow, PodArgs};

/// Which containers, cgroups and processes to follow.
#[derive(Debug, Default)]
pub struct Filter {
    containers: GlobSet,
    images: GlobSet,
    cgroups: GlobSet,
    narrow: Narrow,
    /// Follow a command's process tree instead of containers.
    pub tree: bool,
    text: Vec<String>,
}

impl Filter {
    /// With no pattern at all, every container matches, and nothing outside containers.
    pub fn new(containers: &[String], images: &[String], cgroups: &[String]) -> Result<Filter> {
        let text = [("container", containers), ("image", images), ("cgroup", cgroups)]
            .into_iter()
            .flat_map(|(what, patterns)| patterns.iter().map(move |pattern| format!("{what} = {pattern}")))
            .collect();
        Ok(Filter {
            containers: globs(containers)?,
            images: globs(images)?,
            cgroups: globs(cgroups)?,
            narrow: Narrow::default(),
            tree: false,
            text,
        })
    }

    /// With conditions on pod, namespace and labels, which must hold besides.
    pub fn narrowed(mut self, args: &PodArgs) -> Result<Filter> {
        self.narrow = Narrow::new(args)?;
        self.text.extend(Narrow::text(args));
        Ok(self)
    }

    /// Only the process tree of a command; `label` is what the manifest says of it.
    pub fn command(label: String) -> Filter {
        Filter { tree: true, text: vec![label], ..Filter::default() }
    }

    /// Whether cgroups are looked at, beside or instead of a command's tree.
    pub fn by_cgroup(&self) -> bool {
        !self.tree
    }

    /// The filter in words, for the manifest.
    pub fn text(&self) -> Vec<String> {
        if self.text.is_empty() { vec!["every container".to_owned()] } else { self.text.clone() }
    }

    /// Whether a cgroup is followed, given the container it belongs to.
    pub fn follows(&self, cgroup: &str, container: Option<&Container>) -> bool {
        if self.cgroups.is_match(cgroup) {
            return true;
        }
        let Some(container) = container else { return false };
        if !self.narrow.matches(container) {
            return false;
        }
        let (names, images) = (!self.containers.is_empty(), !self.images.is_empty());
        if !names && !images {
            return self.cgroups.is_empty() || !self.narrow.is_empty();
        }
        let matches = |set: &GlobSet, value: &Option<String>| value.as_ref().is_some_and(|text| set.is_match(text));
        (names && (matches(&self.containers, &container.name) || self.containers.is_match(&*container.id)))
            || (images && (matches(&self.images, &container.image) || matches(&self.images, &container.image_id)))
    }
}

pub(crate) fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // An id may be given by its first digits, as runtimes print it.
        let is_short_id = (12..64).contains(&pattern.len()) && pattern.bytes().all(|b| b.is_ascii_hexdigit());
        let text = if is_short_id { format!("{pattern}*") } else { pattern.clone() };
        set.add(Glob::new(&text).map_err(|error| Error::Usage(format!("bad pattern '{pattern}': {}", error.kind())))?);
    }
    set.build().map_err(|error| Error::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, image: &str) -> Container {
        Container {
            id: "ab".repeat(32).into(),
            runtime: Some("podman".to_owned()),
            name: Some(name.to_owned()),
            image: Some(image.to_owned()),
            ..Container::default()
        }
    }

    fn filter(containers: &[&str], images: &[&str], cgroups: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        Filter::new(&owned(containers), &owned(images), &owned(cgroups)).unwrap()
    }

    #[test]
    fn without_a_pattern_every_container_matches_and_nothing_else() {
        let all = filter(&[], &[], &[]);
        assert!(all.follows("/x", Some(&container("web", "nginx"))));
        assert!(!all.follows("/system.slice/ssh.service", None));
    }

    #[test]
    fn names_ids_images_and_cgroups_match_by_pattern() {
        let web = container("shop-web", "localhost/nginx:1");
        assert!(filter(&["shop-*"], &[], &[]).follows("/x", Some(&web)));
        assert!(filter(&["abababababab"], &[], &[]).follows("/x", Some(&web)));
        assert!(!filter(&["bank-*"], &[], &[]).follows("/x", Some(&web)));
        assert!(filter(&[], &["*nginx*"], &[]).follows("/x", Some(&web)));
        assert!(filter(&["bank-*"], &["*nginx*"], &[]).follows("/x", Some(&web)));
        assert!(filter(&[], &[], &["/system.slice/*"]).follows("/system.slice/ssh.service", None));
        assert!(
            !filter(&[], &[], &["/system.slice/*"]).follows("/x", Some(&web)),
            "a cgroup pattern replaces the default"
        );
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Filter::new(&["web[".to_owned()], &[], &[]).unwrap_err();
        assert!(error.to_string().contains("web["), "{error}");
    }

    #[test]
    fn pod_namespace_and_labels_narrow_the_rest() {
        let args = |pod: &str, namespace: &str, labels: &[&str]| PodArgs {
            pod: if pod.is_empty() { vec![] } else { vec![pod.to_owned()] },
            namespace: if namespace.is_empty() { vec![] } else { vec![namespace.to_owned()] },
            label: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let narrowed = |names: &[&str], args| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Filter::new(&names, &[], &[]).unwrap().narrowed(&args).unwrap()
        };
        let web = Container {
            pod: Some("web-0".to_owned()),
            namespace: Some("prod".to_owned()),
            labels: Some(r#"{"app":"shop","tier":"front"}"#.to_owned()),
            ..container("web", "nginx:1")
        };
        let bare = container("web", "nginx:1");
        for (filter, of_web) in [
            (narrowed(&[], args("web-*", "", &[])), true),
            (narrowed(&[], args("web-*", "test", &[])), false),
            (narrowed(&[], args("", "prod", &["app=shop", "tier=f*"])), true),
            (narrowed(&[], args("", "", &["app=shop", "tier=back"])), false),
            (narrowed(&["web"], args("", "prod", &[])), true),
            (narrowed(&["other"], args("", "prod", &[])), false),
        ] {
            assert_eq!(filter.follows("/x", Some(&web)), of_web, "{:?}", filter.text());
            assert!(!filter.follows("/x", Some(&bare)), "nothing is known of it");
            assert!(!filter.follows("/x", None));
        }
        assert!(Filter::new(&[], &[], &[]).unwrap().narrowed(&args("", "", &["app"])).is_err());
    }
}
