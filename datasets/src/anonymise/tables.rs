//! The dimension tables, and what the manifest says in words.

use std::sync::Arc;

use serde_json::Value;

use super::names::{Kind, Names};
use crate::derive::{Derived, Source};
use crate::keeping::End;
use crate::manifest::{Manifest, Scenario, Step};
use crate::model::{Address, Container, Process};

/// Bytes of the kernel's short name of a process.
const COMM: usize = 15;

impl Names {
    pub(super) fn process(&mut self, row: &mut Process) {
        let Process {
            exec_id: _,
            parent_exec_id: _,
            prev_exec_id: _,
            origin: _,
            container,
            pid: _,
            ns_pid: _,
            start: _,
            end: _,
            exe,
            argv,
            cwd,
            comm,
            uid: _,
            gid: _,
            exe_memfd: _,
            exe_deleted: _,
            argv_truncated: _,
            exit_code: _,
            exit_signal: _,
        } = row;
        if let Some(name) = comm {
            *name = self.comm(name, exe.as_deref());
        }
        self.each(Kind::Id, &mut [container]);
        self.each(Kind::Path, &mut [exe, cwd]);
        self.list(Kind::Text, argv);
    }

    /// A program's name that was cut off becomes its pseudonym, cut off.
    fn comm(&mut self, comm: &Arc<str>, exe: Option<&str>) -> Arc<str> {
        let program = exe.and_then(|exe| exe.rsplit('/').next()).filter(|name| name.starts_with(&**comm));
        let (Some(program), Some(exe)) = (program, exe) else { return self.shared(Kind::Text, comm) };
        let path = self.path(exe);
        let name = path.rsplit('/').next().unwrap_or(&path);
        // Where the path is kept, so is the name.
        if name == program { comm.clone() } else { name.chars().take(COMM).collect::<String>().into() }
    }

    pub(super) fn container_row(&mut self, row: &mut Container) {
        let Container {
            id,
            runtime: _,
            name,
            image,
            image_id,
            addresses,
            aliases,
            labels,
            cgroup,
            first_seen: _,
            image_digest,
            pod,
            namespace,
            pod_uid,
            identity: _,
        } = row;
        *id = self.shared(Kind::Id, id);
        for text in [name, pod, namespace].into_iter().flatten() {
            *text = self.part(text);
        }
        for text in [image, image_id, image_digest, pod_uid].into_iter().flatten() {
            *text = self.text(text);
        }
        addresses.iter_mut().for_each(|text| *text = self.text(text));
        aliases.iter_mut().for_each(|text| *text = self.domain(text));
        *cgroup = self.path(cgroup);
        if let Some(text) = labels {
            *text = match serde_json::from_str(text) {
                Ok(value) => self.json(value).to_string(),
                Err(_) => self.text(text),
            };
        }
    }

    fn json(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(map) => {
                let mapped = map.into_iter().map(|(name, value)| (self.text(&name), self.json(value)));
                Value::Object(mapped.collect())
            }
            Value::Number(number) => match serde_json::from_str(&self.text(&number.to_string())) {
                Ok(mapped) => Value::Number(mapped),
                Err(_) => Value::Null,
            },
            other => other,
        }
    }

    pub(super) fn address_row(&mut self, row: &mut Address) {
        let Address { address, container, net_ns: _, since: _, until: _ } = row;
        *address = self.text(address);
        *container = self.shared(Kind::Id, container);
    }

    /// What is said in words. Acts, steps and techniques stay: the labels have them.
    pub(super) fn manifest(&mut self, manifest: &mut Manifest) {
        manifest.filter.iter_mut().for_each(|line| *line = self.text(line));
        for change in &mut manifest.filter_changes {
            change.filter.iter_mut().for_each(|line| *line = self.text(line));
        }
        if let Some(known) = &mut manifest.known {
            known.images.iter_mut().for_each(|image| *image = self.text(image));
        }
        if let Some(End::WriteFailed(reason) | End::Failed(reason)) = &mut manifest.end {
            *reason = self.text(reason);
        }
        if let Some(scenario) = &mut manifest.scenario {
            let Scenario { name: _, description, seed: _, time_compression: _, benign_s: _, definition: _, steps } =
                scenario;
            description.clear();
            for step in steps {
                let Step {
                    act: _,
                    step: _,
                    technique: _,
                    start_ns: _,
                    end_ns: _,
                    container,
                    description,
                    ambiguous: _,
                } = step;
                description.clear();
                if let Some(name) = container {
                    *name = self.part(name);
                }
            }
        }
        if let Some(derived) = &mut manifest.derived {
            self.derived(derived);
        }
    }

    /// What earlier tools were asked for.
    fn derived(&mut self, derived: &mut Derived) {
        let Derived { by: _, version: _, conditions, cut: _, tells: _, sources } = derived;
        conditions.iter_mut().for_each(|line| *line = self.condition(line));
        for Source { derived, .. } in sources {
            if let Some(derived) = derived {
                self.derived(derived);
            }
        }
    }

    /// Times stay.
    fn condition(&mut self, line: &str) -> String {
        if line.starts_with("from ") || line.starts_with("to ") { line.to_owned() } else { self.text(line) }
    }
}
