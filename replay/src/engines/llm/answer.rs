//! What a model must answer, and nothing else is taken.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::alert::technique;

/// Characters of a reason; the prompt asks for fewer.
const REASON: usize = 1_000;

/// A model's answer: a JSON object with exactly these fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The evidence's id. The evidence does not contain it, so an answer that was copied out of the evidence has a wrong one.
    pub id: String,
    /// 0 harmless to 100 part of an attack.
    pub score: u32,
    /// An ATT&CK id that this build knows, or null. The field must be there.
    #[serde(deserialize_with = "nullable")]
    pub technique: Option<String>,
    pub reason: String,
}

fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

impl Answer {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, id: &str) -> Result<Answer, String> {
        let answer: Answer =
            serde_json::from_str(text).map_err(|error| format!("not the JSON that was asked for: {error}"))?;
        answer.check(id)?;
        Ok(answer)
    }

    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, id: &str) -> Result<(), String> {
        if self.id != id {
            return Err("its id is not that of the question".to_owned());
        }
        if self.score > 100 {
            return Err(format!("score {} is not within 0 to 100", self.score));
        }
        if let Some(named) = self.technique.as_deref().filter(|named| technique::known().all(|known| known != *named)) {
            return Err(format!(
                "technique {:?} is none of those it may name",
                named.chars().take(20).collect::<String>()
            ));
        }
        if self.reason.trim().is_empty() || self.reason.chars().count() > REASON {
            return Err(format!("a reason of {} characters", self.reason.chars().count()));
        }
        Ok(())
    }
}

/// The schema of an answer, as `response_format` takes it. The id is left open on purpose: a server that fills in what the schema
/// dictates would otherwise give the right one to whatever answer.
pub fn schema() -> Value {
    let ids: Vec<Value> = technique::known().map(Value::from).chain([Value::Null]).collect();
    json!({
        "type": "json_schema",
        "json_schema": {
            "name": "verdict",
            "strict": true,
            "schema": {
                "type": "object",
                "additionalProperties": false,
                "required": ["id", "score", "technique", "reason"],
                "properties": {
                    "id": {"type": "string", "description": "the id that the question gives"},
                    "score": {"type": "integer", "minimum": 0, "maximum": 100},
                    "technique": {"type": ["string", "null"], "enum": ids},
                    "reason": {"type": "string"},
                },
            },
        },
    })
}
