//! What a run may spend on its judge: requests, tokens, time, and requests a minute.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::Llm;

/// What was spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    pub requests: u64,
    /// Of these, further attempts.
    pub retries: u64,
    /// As the endpoint counts them; estimated where it does not say.
    pub tokens: u64,
    /// Waiting for answers, for the rate limit and between attempts.
    pub waited_ms: f64,
}

/// The rest of it.
pub struct Budget {
    max_requests: u64,
    max_tokens: u64,
    time: Duration,
    timeout: Duration,
    /// Between the beginnings of two requests.
    pace: Duration,
    last: Option<Instant>,
    waited: Duration,
    spent: Spent,
    /// Why there will be no further request.
    over: Option<String>,
}

impl Budget {
    pub fn new(config: &Llm) -> Budget {
        Budget {
            max_requests: config.max_requests,
            max_tokens: config.max_tokens,
            time: Duration::from_secs_f64(config.time),
            timeout: Duration::from_secs_f64(config.timeout),
            pace: Duration::from_secs_f64(60.0 / config.requests_per_minute),
            last: None,
            waited: Duration::ZERO,
            spent: Spent::default(),
            over: None,
        }
    }

    pub fn spent(&self) -> Spent {
        Spent { waited_ms: (self.waited.as_secs_f64() * 1e6).round() / 1e3, ..self.spent.clone() }
    }

    pub fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// No further request, whatever is left.
    pub fn close(&mut self, why: String) {
        self.over.get_or_insert(why);
    }

    /// Takes a request that may need `tokens` off the budget, after waiting for its turn. How long it may take.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(&mut self, tokens: u64) -> Result<Duration, String> {
        let turn = self.last.map_or(Duration::ZERO, |last| self.pace.saturating_sub(last.elapsed()));
        if self.spent.requests >= self.max_requests {
            self.close(format!("the budget of {} requests is spent", self.max_requests));
        } else if self.spent.tokens.saturating_add(tokens) > self.max_tokens {
            self.close(format!("the budget of {} tokens is spent", self.max_tokens));
        }
        self.wait(turn);
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        self.last = Some(Instant::now());
        self.spent.requests += 1;
        Ok(self.timeout.min(self.time.saturating_sub(self.waited)))
    }

    /// Sleeps, unless that is longer than the time that is left: then there is no further request.
    pub fn wait(&mut self, pause: Duration) {
        if self.over.is_some() {
            return;
        }
        if self.waited + pause >= self.time {
            let (time, pause) = (self.time.as_secs_f64(), pause.as_secs_f64());
            self.close(match pause {
                0.0 => format!("the budget of {time} s is spent"),
                _ => format!("the budget of {time} s leaves no room for a pause of {pause:.3} s"),
            });
            return;
        }
        std::thread::sleep(pause);
        self.waited += pause;
    }

    /// A request took so long and cost so many tokens.
    pub fn charge(&mut self, took: Duration, tokens: u64) {
        self.waited += took;
        self.spent.tokens = self.spent.tokens.saturating_add(tokens);
    }

    pub fn retried(&mut self) {
        self.spent.retries += 1;
    }
}
