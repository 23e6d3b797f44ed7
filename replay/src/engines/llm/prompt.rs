//! The prompt: a template file, with the evidence put in.

use std::path::{Path, PathBuf};

use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest, Sha256};

use super::evidence::Evidence;
use crate::alert::technique;
use crate::deviation::Deviation;

const BUILT_IN: &str = include_str!("../../../prompts/judge.jinja");
const NAME: &str = "judge";

/// Why a prompt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("cannot read the prompt {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("bad prompt {path}: {reason}")]
    Bad { path: String, reason: String },
}

/// The template, checked.
pub struct Template {
    environment: Environment<'static>,
    path: String,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub system: String,
    pub user: String,
    pub evidence: Evidence,
}

impl Prompt {
    /// SHA-256 over the model's name and the whole prompt, in hex: what a verdict is recorded under.
    pub fn key(&self, model: &str) -> String {
        let mut hash = Sha256::new();
        for part in [model, &self.system, &self.user] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Template {
    /// The built-in prompt, or the file `path`.
    ///
    /// # Errors
    /// Unreadable, no template, or one that cannot work: a block is missing, or the evidence is not in its place.
    pub fn load(path: Option<&Path>) -> Result<Template, PromptError> {
        let (source, name) = match path {
            None => (BUILT_IN.to_owned(), "(built in)".to_owned()),
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let source = read.map_err(|source| PromptError::Read { path: path.to_owned(), source })?;
                (source, path.display().to_string())
            }
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| PromptError::Bad { path: name.clone(), reason: one_line(&error) })?;
        let template = Template { environment, path: name };
        let probe =
            Evidence { block: "begins\nimage: probe\nends".to_owned(), id: "0123456789abcdef".to_owned(), left_out: 0 };
        template.render(probe, "process", "new program")?;
        Ok(template)
    }

    /// The prompt about a deviation. `most`: characters of each text of the recording.
    ///
    /// # Errors
    /// The template fails on this one.
    pub fn prompt(&self, deviation: &Deviation, most: usize) -> Result<Prompt, PromptError> {
        self.render(Evidence::new(deviation, most), deviation.tree.name(), deviation.kind.what())
    }

    fn render(&self, evidence: Evidence, tree: &str, kind: &str) -> Result<Prompt, PromptError> {
        let bad = |reason: String| PromptError::Bad { path: self.path.clone(), reason };
        let ids = technique::known().collect::<Vec<_>>().join(" ");
        let context = context! {
            evidence => &evidence.block, id => &evidence.id, tree => tree, kind => kind, techniques => ids
        };
        let template = self.environment.get_template(NAME).map_err(|error| bad(one_line(&error)))?;
        let mut rendered = template.render_captured(context).map_err(|error| bad(one_line(&error)))?;
        let mut block = |name: &str| {
            rendered.with_state_mut(|state| state.render_block(name)).map_err(|error| bad(one_line(&error)))
        };
        let (system, user) = (block("system")?, block("user")?);
        if user.matches(&evidence.block).count() != 1 || system.contains(&evidence.block) {
            return Err(bad(
                "{{ evidence }} must stand in the block user, once and unchanged, and not in system".to_owned()
            ));
        }
        if !user.replace(&evidence.block, "").contains(&evidence.id) {
            return Err(bad("{{ id }} must stand in the block user: the answer has to repeat it".to_owned()));
        }
        Ok(Prompt { system, user, evidence })
    }
}

fn one_line(error: &minijinja::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
