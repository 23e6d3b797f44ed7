//! The llm judge: a language model behind any OpenAI-compatible endpoint is asked what a deviation means.
//!
//! A prompt is made of each deviation ([`prompt`], [`evidence`]); equal prompts are one question. An answer that was recorded
//! ([`store`]) is taken; else, unless offline, the endpoint is asked ([`client`]) as far as the budget goes ([`budget`]), the deviations
//! with the most points from other engines first, and what it says is recorded if it is an answer ([`answer`]). What has no answer
//! has no verdict, and says why; the knn judge never stands in. Failures are not recorded: the next run asks again.
//!
//! ```text
//! score = answer / 100
//! ```
//!
//! **What this cannot guarantee.** The text of a recording is delimited, escaped, capped and announced as data, and an answer
//! copied out of it is refused, since it lacks the id. None of this binds a model: one that is persuaded by what it reads, and answers in
//! the right form with a low score, cannot be told from one that was right. So a score of 0 takes nothing away from what rules and
//! statistics give, and 40 of 100 points are the most that the model can hold back.

pub mod answer;
pub mod budget;
pub mod client;
pub mod evidence;
pub mod prompt;
pub mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Engine, Grounds, Verdict};
use crate::config::Llm;
use crate::deviation::Deviation;
use crate::output::text::{clean, shorten};
use answer::Answer;
use budget::{Budget, Spent};
use client::{Client, Failure};
use prompt::{Prompt, Template};
use store::Store;

/// Questions that fail one after the other before no more are asked.
const GIVE_UP: usize = 3;
/// Characters of a reason on an alert.
const REASON: usize = 300;
/// From this score on, of 100, the technique that the model names is taken.
const NAMES_TECHNIQUE: u32 = 50;

/// Why the judge cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    #[error(transparent)]
    Prompt(#[from] prompt::PromptError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("the API key's environment variable {0} is not set")]
    Key(String),
}

/// What the score was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub model: String,
    /// The key that the answer is recorded under.
    pub prompt: String,
    /// As given, 0 to 100.
    pub answer: u32,
}

impl Said {
    /// See [`Verdict::derivation`].
    pub fn derivation(&self) -> Vec<String> {
        let Said { model, prompt, answer } = self;
        vec![
            format!("score = answer / 100 = {answer} / 100 = {:.4}", f64::from(*answer) / 100.0),
            format!("model {model}, recorded as {prompt}"),
        ]
    }
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Use {
    /// Deviations with an answer, and those without.
    pub answered: u64,
    pub unanswered: u64,
    #[serde(flatten)]
    pub spent: Spent,
}

/// The judge.
pub struct LlmJudge {
    config: Llm,
    name: String,
    template: Template,
    client: Client,
    state: Mutex<State>,
}

struct State {
    store: Store,
    budget: Budget,
    /// Questions of this run that failed, and why: none is asked twice.
    failed: HashMap<String, String>,
    in_a_row: usize,
}

impl LlmJudge {
    /// # Errors
    /// The prompt is bad, the key's variable is not set, the verdict store cannot be used.
    pub fn open(config: &Llm) -> Result<LlmJudge, LlmError> {
        let named = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let template = Template::load(named(&config.prompt).as_deref())?;
        let key = match config.api_key_env.as_str() {
            _ if config.offline => None,
            "" => None,
            variable => Some(std::env::var(variable).map_err(|_| LlmError::Key(variable.to_owned()))?),
        };
        let store = Store::open(&named(&config.verdicts).unwrap_or_else(default_store), config.offline)?;
        if store.damaged > 0 {
            eprintln!("warning: verdict store: {} damaged lines are left out", store.damaged);
        }
        let state = State { store, budget: Budget::new(config), failed: HashMap::new(), in_a_row: 0 };
        Ok(LlmJudge {
            name: name(config),
            template,
            client: Client::new(config, key),
            state: Mutex::new(state),
            config: config.clone(),
        })
    }

    /// As in [`Verdict::judge`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A verdict for each deviation, in order, or why there is none. `points`: what the other engines give each; the budget goes to
    /// the highest first.
    pub fn judge(&self, deviations: &[&Deviation], points: &[f32]) -> Vec<Result<Verdict, String>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<usize> = (0..deviations.len()).collect();
        let of = |i: usize| points.get(i).copied().unwrap_or(0.0);
        order.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
        let mut said: Vec<Result<Verdict, String>> = vec![Err(String::new()); deviations.len()];
        for i in order {
            said[i] = self.one(deviations[i], &mut state);
        }
        said
    }

    fn one(&self, deviation: &Deviation, state: &mut State) -> Result<Verdict, String> {
        let prompt = self.template.prompt(deviation, self.config.max_text).map_err(|error| error.to_string())?;
        let key = prompt.key(&self.config.model);
        if let Some(answer) = state.store.get(&key)
            && answer.check(&prompt.evidence.id).is_ok()
        {
            return Ok(self.verdict(answer, key.clone(), &prompt));
        }
        if self.config.offline {
            return Err("offline, and no verdict is recorded for it".to_owned());
        }
        if let Some(why) = state.failed.get(&key) {
            return Err(why.clone());
        }
        let answer = self.ask(&prompt, state).inspect_err(|why| {
            state.failed.insert(key.clone(), why.clone());
        })?;
        if let Err(error) = state.store.add(key.clone(), &self.config.model, answer.clone()) {
            state.budget.close(format!("an answer could not be recorded: {error}"));
        }
        Ok(self.verdict(&answer, key, &prompt))
    }

    /// Asks the endpoint, unless the budget is spent or it has failed too often.
    fn ask(&self, prompt: &Prompt, state: &mut State) -> Result<Answer, String> {
        if let Some(why) = state.budget.over() {
            return Err(why.to_owned());
        }
        match self.client.ask(prompt, &mut state.budget) {
            Ok(answer) => {
                state.in_a_row = 0;
                Ok(answer)
            }
            Err(failure) => {
                state.in_a_row += 1;
                let why = failure.to_string();
                let hopeless = matches!(&failure, Failure::Refused { status: 401 | 403 | 404, .. });
                if hopeless || state.in_a_row >= GIVE_UP {
                    let times = if hopeless { String::new() } else { format!(" after {GIVE_UP} failures in a row") };
                    state.budget.close(format!("the endpoint was given up{times}: {why}"));
                }
                Err(why)
            }
        }
    }

    fn verdict(&self, answer: &Answer, key: String, prompt: &Prompt) -> Verdict {
        let cut = match prompt.evidence.left_out {
            0 => String::new(),
            more => format!("; {more} characters were not shown to it"),
        };
        Verdict {
            engine: Engine::Semantics,
            score: answer.score as f32 / 100.0,
            reason: shorten(&clean(answer.reason.trim()), REASON) + &cut,
            technique: answer.technique.clone().filter(|_| answer.score >= NAMES_TECHNIQUE),
            judge: self.name.clone(),
            level: None,
            grounds: Grounds::Model(Said { model: self.config.model.clone(), prompt: key, answer: answer.score }),
        }
    }

    /// What has been spent so far.
    pub fn spent(&self) -> Spent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).budget.spent()
    }
}

/// `llm`, and the model's name.
pub fn name(config: &Llm) -> String {
    format!("llm {}", clean(&config.model))
}

/// Where answers are recorded unless the configuration says otherwise.
fn default_store() -> PathBuf {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    data.unwrap_or_else(|| Path::new(".").to_owned()).join("retroscope/verdicts.jsonl")
}
