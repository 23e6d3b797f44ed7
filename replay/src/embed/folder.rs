//! Folders of sentence-transformers models, read as that library reads them.
//!
//! | what | from |
//! |---|---|
//! | pooling | `config.json` of the Pooling module that `modules.json` names, else `1_Pooling/config.json` |
//! | instruction prefix | `config_sentence_transformers.json`: the prompt that was asked for, else `default_prompt_name`, else `query` |
//! | maximum length | `sentence_bert_config.json` `max_seq_length`, else the smaller of `tokenizer_config.json` `model_max_length` and `config.json` `max_position_embeddings`; at most [`MOST_TOKENS`] |
//! | end that is cut | `tokenizer_config.json` `truncation_side` |
//! | closing token | the tokenizer's own template; else `eos_token`, where `tokenizer_config.json` has `add_eos_token` |
//! | lower case | `sentence_bert_config.json` `do_lower_case`, and the tokenizer's own normaliser |
//!
//! `padding_side` is not read, because nothing is ever padded: only texts of one length share a run of the graph. Without
//! padding the last token is the last column, and positions count from 0, whichever side the model was padded on.
//!
//! What a foreign graph computes for a text may depend on the batch it is in, even at one length (matrix products of one
//! row and of many are different kernels), and some exports take one text only. So these models run text by text, unless
//! more are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config::{Finish, ModelConfig, Pooling};
use super::{EmbedError, Options, read_json};

/// Attention takes memory by the square of the length: at the 32,768 tokens of Qwen3-Embedding, 64 GiB for the scores of
/// one layer. Longer texts are cut here and say so.
pub const MOST_TOKENS: usize = 4096;

const COPY: &str = "copy it from the original model's folder";
const EXPORT: &str = "export the graph into the folder: optimum-cli export onnx --library transformers --task feature-extraction -m FOLDER FOLDER/onnx";

#[derive(Deserialize)]
struct Model {
    max_position_embeddings: Option<f64>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
struct Sentences {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Lengths {
    max_seq_length: Option<f64>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct Tokenizer {
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
    #[serde(default)]
    add_eos_token: bool,
    eos_token: Option<Token>,
}

/// A token is written as its text, or as an object that has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

/// Reads a folder; its graph is looked at when it is loaded.
pub(super) fn read(folder: &Path, options: &Options) -> Result<ModelConfig, EmbedError> {
    let tokenizer = folder.join("tokenizer.json");
    if !tokenizer.is_file() {
        let hint = "write it with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)";
        return Err(EmbedError::folder(&tokenizer, "no such file", hint));
    }
    let path = folder.join("config.json");
    let model: Model = read_json(&path)?.ok_or_else(|| EmbedError::folder(&path, "no such file", COPY))?;
    let lengths: Lengths = read_json(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
    let tokens: Tokenizer = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    Ok(ModelConfig {
        name: absolute.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned()),
        model: graph(folder, options.file.as_deref())?,
        tokenizer,
        finish: Finish::Here { pooling: pooling(folder)? },
        max_tokens: max_tokens(folder, &model, &lengths, &tokens)?,
        cuts_left: tokens.truncation_side.as_deref() == Some("left"),
        lower_case: lengths.do_lower_case,
        end: match tokens.eos_token {
            Some(Token::Text(text) | Token::Added { content: text }) if tokens.add_eos_token => Some(text),
            _ => None,
        },
        prefix: prefix(folder, options.prompt.as_deref())?,
        rows: options.rows.unwrap_or(1),
        sha256: BTreeMap::new(),
    })
}

fn graph(folder: &Path, named: Option<&Path>) -> Result<PathBuf, EmbedError> {
    if let Some(file) = named {
        let path = folder.join(file);
        return match path.is_file() {
            true => Ok(path),
            false => Err(EmbedError::folder(&path, "no such file", "model.file is a path below the model's folder")),
        };
    }
    let usual = [folder.join("onnx/model.onnx"), folder.join("model.onnx")];
    usual
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| EmbedError::folder(&usual[0], "no such file, nor a model.onnx beside config.json", EXPORT))
}

fn max_tokens(folder: &Path, model: &Model, lengths: &Lengths, tokens: &Tokenizer) -> Result<usize, EmbedError> {
    let (path, limit) = match (lengths.max_seq_length, tokens.model_max_length, model.max_position_embeddings) {
        (Some(limit), _, _) => (folder.join("sentence_bert_config.json"), limit),
        (None, Some(tokens), Some(model)) => (folder.join("tokenizer_config.json"), tokens.min(model)),
        (None, Some(limit), None) => (folder.join("tokenizer_config.json"), limit),
        (None, None, Some(limit)) => (folder.join("config.json"), limit),
        (None, None, None) => {
            let path = folder.join("tokenizer_config.json");
            return Err(EmbedError::folder(&path, "neither it nor any other file says how long a text may be", COPY));
        }
    };
    // Two special tokens and at least one of the text's own. Tokenizers without a limit say 1e30.
    match limit >= 3.0 {
        true => Ok(limit.min(MOST_TOKENS as f64) as usize),
        false => Err(EmbedError::folder(&path, format!("a maximum length of {limit} tokens is too small"), COPY)),
    }
}

/// How the folder says that token vectors become one; none where it says nothing.
fn pooling(folder: &Path) -> Result<Option<Pooling>, EmbedError> {
    let path = folder.join("modules.json");
    let modules: Option<Vec<Module>> = read_json(&path)?;
    let mut at = folder.join("1_Pooling");
    for Module { path: below, kind } in modules.iter().flatten() {
        match kind.rsplit('.').next() {
            Some("Transformer" | "Normalize") => {}
            Some("Pooling") => at = folder.join(below),
            _ => {
                let reason =
                    format!("its module {kind} ({below}) is not supported: only Transformer, Pooling, Normalize");
                return Err(EmbedError::folder(&path, reason, "choose a model without it"));
            }
        }
    }
    let path = at.join("config.json");
    let Some(config) = read_json::<serde_json::Map<String, serde_json::Value>>(&path)? else {
        return Ok(None);
    };
    let bad =
        |reason: String| EmbedError::folder(&path, reason, "choose a model that pools by mean, cls, max or lasttoken");
    if config.get("include_prompt") == Some(&serde_json::Value::Bool(false)) {
        return Err(bad("include_prompt false is not supported".to_owned()));
    }
    // Since version 5.2 a name; before, a switch for each.
    let mut modes: Vec<&str> = match config.get("pooling_mode") {
        Some(serde_json::Value::String(mode)) => vec![mode],
        Some(serde_json::Value::Array(modes)) => modes.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    };
    if modes.is_empty() {
        let on = config.iter().filter(|(_, value)| value.as_bool() == Some(true));
        modes = on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
    }
    modes.sort_unstable();
    match modes.as_slice() {
        ["mean" | "mean_tokens"] => Ok(Some(Pooling::Mean)),
        ["cls" | "cls_token"] => Ok(Some(Pooling::Cls)),
        ["max" | "max_tokens"] => Ok(Some(Pooling::Max)),
        ["lasttoken" | "last_token"] => Ok(Some(Pooling::LastToken)),
        [] => Err(bad("it names no pooling mode".to_owned())),
        modes => Err(bad(format!("pooling by {} is not supported", modes.join(" and ")))),
    }
}

fn prefix(folder: &Path, named: Option<&str>) -> Result<String, EmbedError> {
    let path = folder.join("config_sentence_transformers.json");
    let Sentences { prompts, default_prompt_name } = read_json(&path)?.unwrap_or_default();
    if let Some(name) = named.or(default_prompt_name.as_deref()) {
        return prompts.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
            let reason = format!("it has no prompt '{name}', only: {}", known.join(", "));
            EmbedError::folder(&path, reason, "name one of them with model.prompt, or add it to the file")
        });
    }
    // Lines are compared with lines: both sides are embedded alike, as what is asked for.
    Ok(prompts.get("query").cloned().unwrap_or_default())
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
