//! One question to an OpenAI-compatible endpoint, asked again where that can help.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ExponentialBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, schema};
use super::budget::Budget;
use super::prompt::Prompt;
use crate::config::Llm;

/// Bytes of an answer's body.
const BODY: u64 = 256 * 1024;
/// Longest pause between two attempts that is not asked for by the endpoint.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// 429, or 503 with the time to wait.
    #[error("HTTP {status}, too many requests")]
    Throttled { status: u16, after: Option<Duration> },
    #[error("HTTP {0}")]
    Server(u16),
    #[error("{0}")]
    Transport(String),
    /// Another request would fare no better.
    #[error("HTTP {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("no valid answer: {0}")]
    Answer(String),
    #[error("{0}")]
    Budget(String),
}

impl Failure {
    const fn may_pass(&self) -> bool {
        matches!(self, Failure::Throttled { .. } | Failure::Server(_) | Failure::Transport(_))
    }
}

pub struct Client {
    agent: ureq::Agent,
    url: String,
    /// `Authorization`'s value.
    authorization: Option<String>,
    model: String,
    seed: u64,
    answer_tokens: u64,
    retries: usize,
    backoff: Duration,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: u64,
}

impl Client {
    /// `key`: the endpoint's API key.
    pub fn new(config: &Llm, key: Option<String>) -> Client {
        // No redirects: the key and the recording's text go where the configuration says, and nowhere else.
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().new_agent();
        Client {
            agent,
            url: format!("{}/chat/completions", config.url.trim_end_matches('/')),
            authorization: key.map(|key| format!("Bearer {key}")),
            model: config.model.clone(),
            seed: config.seed,
            answer_tokens: config.answer_tokens,
            retries: config.retries,
            backoff: Duration::from_secs_f64(config.backoff),
        }
    }

    /// Asks, and asks again after what may pass: 429, 5xx, timeouts, broken connections.
    pub fn ask(&self, prompt: &Prompt, budget: &mut Budget) -> Result<Answer, Failure> {
        let body = self.body(prompt);
        // A token is at least a byte of UTF-8 text, and of prose and code about four.
        let estimate = (prompt.system.len() + prompt.user.len()) as u64 / 3 + self.answer_tokens;
        let budget = RefCell::new(budget);
        // The budget sleeps, for it knows how much time is left; the library only says how long.
        let pause = Cell::new(Duration::ZERO);
        let attempt = || {
            budget.borrow_mut().wait(pause.get());
            let left = budget.borrow_mut().take(estimate).map_err(Failure::Budget)?;
            let begin = Instant::now();
            let (tokens, result) = self.attempt(&body, left, &prompt.evidence.id);
            budget.borrow_mut().charge(begin.elapsed(), tokens.unwrap_or(estimate));
            result
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.backoff)
            .with_max_delay(LONGEST_PAUSE.max(self.backoff))
            .with_max_times(self.retries);
        attempt
            .retry(pauses)
            .when(Failure::may_pass)
            .notify(|failure, backoff| {
                budget.borrow_mut().retried();
                pause.set(match failure {
                    Failure::Throttled { after: Some(after), .. } => backoff.max(*after),
                    _ => backoff,
                });
            })
            .sleep(|_| {})
            .call()
    }

    fn body(&self, prompt: &Prompt) -> Value {
        json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "temperature": 0,
            "seed": self.seed,
            "max_tokens": self.answer_tokens,
            "response_format": schema(),
        })
    }

    /// One request, and the tokens it cost where the endpoint says.
    fn attempt(&self, body: &Value, timeout: Duration, id: &str) -> (Option<u64>, Result<Answer, Failure>) {
        let (status, after, text) = match self.exchange(body, timeout) {
            Ok(response) => response,
            // What was never answered cost nothing that we know of, but may have.
            Err(failure) => return (None, Err(failure)),
        };
        match status {
            200..300 => {}
            429 => return (Some(0), Err(Failure::Throttled { status, after })),
            503 if after.is_some() => return (Some(0), Err(Failure::Throttled { status, after })),
            408 | 500.. => return (Some(0), Err(Failure::Server(status))),
            _ => {
                let message = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
                return (Some(0), Err(Failure::Refused { status, message }));
            }
        }
        let completion: Completion = match serde_json::from_str(&text) {
            Ok(completion) => completion,
            Err(error) => return (None, Err(Failure::Answer(format!("not a chat completion: {error}")))),
        };
        let tokens = completion.usage.map(|usage| usage.total_tokens);
        (tokens, content(completion.choices).and_then(|text| Answer::parse(text.trim(), id).map_err(Failure::Answer)))
    }

    /// Status, `Retry-After` and text of the response.
    fn exchange(&self, body: &Value, timeout: Duration) -> Result<(u16, Option<Duration>, String), Failure> {
        let transport = |error: ureq::Error| match error {
            ureq::Error::BodyExceedsLimit(limit) => Failure::Answer(format!("longer than {limit} bytes")),
            ureq::Error::Timeout(_) => Failure::Transport(format!("no answer within {} s", timeout.as_secs_f64())),
            other => Failure::Transport(other.to_string()),
        };
        let mut request = self.agent.post(&self.url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut response = request.send_json(body).map_err(transport)?;
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        // The other form, a date, is what no such endpoint sends; then the pause is our own.
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let text = response.body_mut().with_config().limit(BODY).read_to_string().map_err(transport)?;
        Ok((response.status().as_u16(), after, text))
    }
}

fn content(choices: Vec<Choice>) -> Result<String, Failure> {
    let refused = |why: &str| Failure::Answer(why.to_owned());
    let choice = choices.into_iter().next().ok_or_else(|| refused("no choice in it"))?;
    if choice.message.refusal.is_some() {
        return Err(refused("the model refused"));
    }
    match choice.finish_reason.as_deref() {
        None | Some("stop") => {}
        Some("length") => return Err(refused("cut off: longer than engines.llm.answer_tokens")),
        Some(_) => return Err(refused("the model did not come to its end")),
    }
    choice.message.content.ok_or_else(|| refused("no content in it"))
}
