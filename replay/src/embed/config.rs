//! What the embedder must know to run a model as it was trained, from the model's folder.
//!
//! Two kinds of folders are told apart by their `config.json`: set-up's own has a `format`, a folder of
//! sentence-transformers a `model_type` ([`super::folder`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{EmbedError, Options, folder, read_json};

/// The only format of set-up's own folders there is so far.
const FORMAT: u32 = 1;

/// Texts per run of the default model's graph. On one thread, 32 texts of 8 tokens run twice as fast together as alone, of
/// 24 tokens a third faster, of 48 no faster; larger batches only take more memory for the activations.
const ROWS: usize = 32;

/// How token vectors become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the vectors of all tokens.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The vector of the last token.
    LastToken,
}

/// How the graph's vectors are to be treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// This output is what is wanted: float32 `[batch, dims]`, unit length.
    InGraph { output: String },
    /// The output is chosen by name and rank; token vectors are pooled so, all are brought to unit length. None: the folder
    /// does not say how, which is an error if the graph leaves it to us.
    Here { pooling: Option<Pooling> },
}

/// A model folder, read.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub name: String,
    /// The ONNX graph.
    pub model: PathBuf,
    /// The tokenizer, in Hugging Face's format.
    pub tokenizer: PathBuf,
    pub finish: Finish,
    /// Tokens the model was trained for, with the special ones; what lies past them is cut.
    pub max_tokens: usize,
    /// The beginning is cut, not the end.
    pub cuts_left: bool,
    /// Text is lower-cased before the tokenizer sees it.
    pub lower_case: bool,
    /// Token that ends every text, appended where the tokenizer does not.
    pub end: Option<String>,
    /// Put before every text.
    pub prefix: String,
    /// Texts per run of the graph.
    pub rows: usize,
    /// SHA-256 by file name, checked when the model is opened. A file that is not named is not checked.
    pub sha256: BTreeMap<String, String>,
}

/// Written by `setup/build_model.py` for the default model.
#[derive(Deserialize)]
struct Own {
    format: u32,
    name: String,
    model: String,
    tokenizer: String,
    output: String,
    pooling: Pooling,
    pooling_in_graph: bool,
    normalised_in_graph: bool,
    dims: usize,
    max_tokens: usize,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
}

/// What tells the two kinds of folders apart.
#[derive(Deserialize)]
struct Kind {
    format: Option<serde_json::Value>,
    model_type: Option<String>,
}

/// Reads and checks a model folder.
///
/// # Errors
/// The file that is missing or wrong, and what to do about it.
pub fn read(folder: &Path, options: &Options) -> Result<ModelConfig, EmbedError> {
    let path = folder.join("config.json");
    let kind: Kind = read_json(&path)?.ok_or_else(|| EmbedError::model(&path, "no such file"))?;
    match kind {
        Kind { format: None, model_type: Some(_) } => folder::read(folder, options),
        Kind { format: None, model_type: None } => Err(EmbedError::folder(
            &path,
            "it has neither 'format' nor 'model_type', so it is no embedding model's",
            "give the folder of a sentence-transformers model with its ONNX graph, or run ./dev setup base for the default",
        )),
        Kind { format: Some(_), .. } => own(folder, options),
    }
}

fn own(folder: &Path, options: &Options) -> Result<ModelConfig, EmbedError> {
    let path = folder.join("config.json");
    let own: Own = read_json(&path)?.ok_or_else(|| EmbedError::model(&path, "no such file"))?;
    let Own { format, name, model, tokenizer, output, pooling, .. } = own;
    if format != FORMAT {
        return Err(EmbedError::model(&path, format!("format {format} is not known, only {FORMAT}")));
    }
    if pooling != Pooling::Mean || !own.pooling_in_graph || !own.normalised_in_graph {
        return Err(EmbedError::model(
            &path,
            "only graphs that pool by mean and normalise themselves have this format",
        ));
    }
    // Two special tokens and at least one of the text's own.
    if own.max_tokens < 3 || own.dims == 0 {
        let reason = format!("max_tokens {} or dims {} is too small", own.max_tokens, own.dims);
        return Err(EmbedError::model(&path, reason));
    }
    Ok(ModelConfig {
        name,
        model: folder.join(model),
        tokenizer: folder.join(tokenizer),
        finish: Finish::InGraph { output },
        max_tokens: own.max_tokens,
        cuts_left: false,
        lower_case: false,
        end: None,
        prefix: own.prefix,
        rows: options.rows.unwrap_or(ROWS),
        sha256: own.sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"format": 1, "name": "m", "model": "m.onnx", "tokenizer": "t.json", "output": "o",
        "pooling": "mean", "pooling_in_graph": true, "normalised_in_graph": true, "dims": 4, "max_tokens": 8}"#;

    fn config(text: &str) -> Result<ModelConfig, EmbedError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        read(folder.path(), &Options::default())
    }

    #[test]
    fn a_good_config_is_read() {
        let config = config(GOOD).unwrap();
        assert_eq!((config.rows, config.max_tokens, config.prefix.as_str()), (ROWS, 8, ""));
        assert_eq!(config.finish, Finish::InGraph { output: "o".to_owned() });
    }

    #[test]
    fn what_the_embedder_cannot_do_is_refused_by_name() {
        for (from, to, says) in [
            ("\"mean\"", "\"last_token\"", "mean"),
            ("\"mean\"", "\"sum\"", "sum"),
            ("\"format\": 1", "\"format\": 2", "format 2"),
            ("\"format\": 1", "\"kind\": 2", "neither"),
            ("\"pooling_in_graph\": true", "\"pooling_in_graph\": false", "pool"),
            ("\"max_tokens\": 8", "\"max_tokens\": 2", "max_tokens"),
            ("{\"format\"", "[\"format\"", "line 1"),
        ] {
            let error = config(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(says) && error.to_string().contains("config.json"), "{error}");
            assert!(error.is_missing_prerequisite());
        }
    }
}
