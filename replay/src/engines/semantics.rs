//! The semantics engine: what a deviation means, told by a judge.
//!
//! The one judge so far is [`Knn`]: the nearest labelled exemplars by sentence embedding. It needs no network and gives
//! the same verdict every time. Every verdict names its judge; one judge never stands in for another.
//!
//! ```text
//! share      = Σ w(malicious) / Σ w(all)  over the K = 7 nearest exemplars,  w = exp((cosine - 1) / 0.05)
//! confidence = (cosine of the nearest - 0.25) / (0.6 - 0.25), between 0 and 1; halved for text not wholly seen
//! score      = share · confidence
//! ```
//!
//! So a deviation that resembles nothing known scores 0, whatever its nearest exemplar is: this judge has no opinion on
//! what it has never seen anything like. Distance weighting is that of Dudani (1976, IEEE Trans. SMC-6), with an
//! exponential in place of his linear weight. The constants were chosen on the exemplars alone, each judged by the others
//! (test `leave_one_out`, which prints AUC 0.90, and at a score of 0.5 69 % of the malicious and 11 % of the benign ones),
//! never on a recording. It is a weak judge, and better on techniques with many exemplars: it supports, and cannot alone
//! raise an alert above "medium".

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::exemplars::{Exemplar, Label};
use super::grounds::rounded;
use super::{Engine, Grounds, Verdict};
use crate::args::address::mask_address;
use crate::args::mask::{is_hex, is_uuid};
use crate::deviation::Deviation;
use crate::embed::{EmbedError, Embedder, Embedding};

/// Neighbours that vote.
const K: usize = 7;
/// Cosine difference that divides a vote's weight by e.
const TEMPERATURE: f64 = 0.05;
/// Below this cosine nothing is alike; from [`ALIKE`] on, the nearest exemplar is trusted in full.
const UNLIKE: f64 = 0.25;
const ALIKE: f64 = 0.6;
/// Confidence in a text whose end was cut off, or in which a word could not be read.
const HALF_SEEN: f64 = 0.5;

/// Runs of letters and digits at least this long are keys, wallets or encoded blobs. Their letters mean nothing, but
/// spelled out they would be most of a text's tokens.
const KEY_LENGTH: usize = 32;
/// Hex digits from here on are a digest or an id.
const HEX_LENGTH: usize = 16;

/// Why a judge gave no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

/// Judges what deviations mean.
pub trait Judge: Send + Sync {
    /// As in [`Verdict::judge`].
    fn name(&self) -> &str;

    /// One verdict for each deviation, in order.
    fn judge(&self, deviations: &[&Deviation]) -> Result<Vec<Verdict>, JudgeError>;
}

/// Judges by the nearest labelled exemplars.
pub struct Knn<'a> {
    embedder: &'a dyn Embedder,
    exemplars: Vec<Exemplar>,
    /// Made when the first deviation comes: about a second of one CPU.
    vectors: OnceLock<Vec<Embedding>>,
}

/// What the knn judge's score was made of: the terms of the formula above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// Σ w(malicious) and Σ w(all).
    pub malicious: f64,
    pub all: f64,
    /// Cosine of the nearest.
    pub cosine: f64,
    /// 1, or one half for a text not wholly seen.
    pub seen: f64,
    /// Those that voted, nearest first.
    pub exemplars: Vec<Voter>,
}

/// An exemplar that voted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voter {
    pub text: String,
    /// As "malicious, T1496".
    pub label: String,
    pub cosine: f64,
}

impl Vote {
    fn share(&self) -> f64 {
        if self.all > 0.0 { self.malicious / self.all } else { 0.0 }
    }

    fn confidence(&self) -> f64 {
        ((self.cosine - UNLIKE) / (ALIKE - UNLIKE)).clamp(0.0, 1.0) * self.seen
    }

    fn score(&self) -> f64 {
        self.share() * self.confidence()
    }

    /// See [`Verdict::derivation`].
    pub fn derivation(&self) -> Vec<String> {
        let Vote { malicious, all, cosine, seen, .. } = self;
        let mut lines = vec![
            "score = share · confidence".to_owned(),
            format!("share = Σ w(malicious) / Σ w(all) = {malicious:.3e} / {all:.3e} = {:.4}", self.share()),
            format!(
                "confidence = (cosine - {UNLIKE}) / ({ALIKE} - {UNLIKE}) in 0..1, · seen = ({cosine:.4} - {UNLIKE}) / {:.2} in 0..1, · {seen} = {:.4}",
                ALIKE - UNLIKE,
                self.confidence()
            ),
            format!("score = {:.4} · {:.4} = {:.4}", self.share(), self.confidence(), self.score()),
        ];
        let voters = self.exemplars.iter().map(|voter| {
            let weight = ((voter.cosine - 1.0) / TEMPERATURE).exp();
            format!("exemplar: cosine {:.4}, w {weight:.3e}, {}: {}", voter.cosine, voter.label, voter.text)
        });
        lines.extend(voters);
        lines
    }
}

/// An exemplar and how like the text it is.
struct Neighbour<'a> {
    exemplar: &'a Exemplar,
    cosine: f64,
}

impl<'a> Knn<'a> {
    pub fn new(embedder: &'a dyn Embedder, exemplars: Vec<Exemplar>) -> Knn<'a> {
        Knn { embedder, exemplars, vectors: OnceLock::new() }
    }

    /// Makes what the first verdict would have to wait for.
    pub fn prepare(&self) -> Result<(), EmbedError> {
        self.vectors().map(drop)
    }

    fn vectors(&self) -> Result<&[Embedding], EmbedError> {
        if let Some(vectors) = self.vectors.get() {
            return Ok(vectors);
        }
        let texts: Vec<String> = self.exemplars.iter().map(|exemplar| normalise(&exemplar.text)).collect();
        let vectors = self.embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(self.vectors.get_or_init(|| vectors))
    }

    /// The `K` nearest exemplars, nearest first; of equals, the first in the file. `except` is left out.
    fn nearest(&self, query: &Embedding, vectors: &[Embedding], except: Option<usize>) -> Vec<Neighbour<'_>> {
        let all = self.exemplars.iter().zip(vectors).enumerate();
        let mut neighbours: Vec<Neighbour<'_>> = all
            .filter(|(index, _)| Some(*index) != except)
            .map(|(_, (exemplar, vector))| Neighbour { exemplar, cosine: f64::from(query.cosine(vector)) })
            .collect();
        neighbours.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        neighbours.truncate(K);
        neighbours
    }
}

impl Judge for Knn<'_> {
    fn name(&self) -> &str {
        "knn"
    }

    fn judge(&self, deviations: &[&Deviation]) -> Result<Vec<Verdict>, JudgeError> {
        if deviations.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = self.vectors()?;
        let texts: Vec<String> = deviations.iter().map(|deviation| normalise(&deviation.text)).collect();
        let queries = self.embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(queries.iter().map(|query| verdict(query, &self.nearest(query, vectors, None))).collect())
    }
}

fn verdict(query: &Embedding, neighbours: &[Neighbour<'_>]) -> Verdict {
    let mut all = 0.0;
    // Weight by technique, in order of the nearest exemplar of each.
    let mut techniques: Vec<(&str, f64)> = Vec::new();
    for Neighbour { exemplar, cosine } in neighbours {
        let weight = ((cosine - 1.0) / TEMPERATURE).exp();
        all += weight;
        if let Label::Malicious(technique) = &exemplar.label {
            match techniques.iter_mut().find(|(known, _)| known == technique) {
                Some((_, sum)) => *sum += weight,
                None => techniques.push((technique, weight)),
            }
        }
    }
    let voters = neighbours.iter().map(|Neighbour { exemplar, cosine }| Voter {
        text: exemplar.text.clone(),
        label: exemplar.label.to_string(),
        cosine: rounded(*cosine),
    });
    let vote = Vote {
        malicious: techniques.iter().map(|(_, weight)| weight).sum(),
        all,
        cosine: neighbours.first().map_or(0.0, |neighbour| neighbour.cosine),
        seen: if query.is_whole() { 1.0 } else { HALF_SEEN },
        exemplars: voters.collect(),
    };
    let confidence = vote.confidence();
    let leading = techniques.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
    Verdict {
        engine: Engine::Semantics,
        score: vote.score() as f32,
        reason: reason(query, neighbours, confidence),
        technique: leading
            .filter(|_| vote.share() >= 0.5 && confidence > 0.0)
            .map(|(technique, _)| technique.to_owned()),
        judge: "knn".to_owned(),
        level: None,
        grounds: Grounds::Exemplars(vote),
    }
}

fn reason(query: &Embedding, neighbours: &[Neighbour<'_>], confidence: f64) -> String {
    let named: Vec<String> = neighbours
        .iter()
        .take(2)
        .map(|Neighbour { exemplar, cosine }| {
            let short: String = exemplar.text.chars().take(60).collect();
            let ellipsis = if short.len() < exemplar.text.len() { "…" } else { "" };
            format!("'{short}{ellipsis}' ({}; cosine {cosine:.2})", exemplar.label)
        })
        .collect();
    let verb = if confidence > 0.0 { "resembles" } else { "resembles nothing known; nearest" };
    let mut reason = format!("{verb} {}", named.join(" and "));
    if query.truncated {
        reason.push_str("; longer than the model reads, its end was not judged");
    }
    if query.unknown {
        reason.push_str("; a word in it could not be read");
    }
    reason
}

/// Text as the model is to compare it: addresses by class, keys, wallets, digests and ids by type, one space between
/// words. Exemplars and deviations are treated alike.
fn normalise(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut out = String::with_capacity(words.len());
    // Each piece is a run of word characters with the one separator that ended it.
    for piece in words.split_inclusive(|c| !is_word(c)) {
        let word = piece.trim_end_matches(|c| !is_word(c));
        out.push_str(&mask(word));
        out.push_str(&piece[word.len()..]);
    }
    out
}

fn mask(word: &str) -> String {
    if is_uuid(word) {
        return "<uuid>".to_owned();
    }
    if word.len() >= HEX_LENGTH && is_hex(word) {
        return "<hex>".to_owned();
    }
    let mixed = word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    if word.len() >= KEY_LENGTH && mixed && word.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return "<key>".to_owned();
    }
    if word == "localhost" {
        return "<ip:loopback>".to_owned();
    }
    mask_address(word).unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
#[path = "semantics_tests.rs"]
mod tests;
