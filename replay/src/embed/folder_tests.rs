use super::*;

/// A folder of a model's small files; the graph is not looked at here.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let small = [
        ("config.json", r#"{"model_type": "qwen3", "max_position_embeddings": 32768}"#),
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", r#"{"model_max_length": 131072, "eos_token": {"content": "<end>"}}"#),
        ("onnx/model.onnx", ""),
        ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}"#),
    ];
    for (name, text) in small.iter().chain(files) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn config(files: &[(&str, &str)]) -> Result<ModelConfig, EmbedError> {
    read(folder(files).path(), &Options::default())
}

#[test]
fn a_folder_is_read_as_sentence_transformers_reads_it() {
    let config = config(&[]).unwrap();
    assert_eq!(config.finish, Finish::Here { pooling: Some(Pooling::LastToken) });
    assert_eq!((config.max_tokens, config.rows), (MOST_TOKENS, 1));
    assert_eq!((config.prefix.as_str(), config.end, config.cuts_left, config.lower_case), ("", None, false, false));
}

#[test]
fn lengths_sides_and_ends_come_from_their_files() {
    let tokens = r#"{"model_max_length": 1e30, "truncation_side": "left", "add_eos_token": true, "eos_token": "</s>"}"#;
    let lengths = ("sentence_bert_config.json", r#"{"max_seq_length": 512, "do_lower_case": true}"#);
    let of = config(&[("tokenizer_config.json", tokens), lengths]).unwrap();
    assert_eq!((of.max_tokens, of.cuts_left, of.lower_case, of.end.as_deref()), (512, true, true, Some("</s>")));
    let none = ("sentence_bert_config.json", r#"{"max_seq_length": null}"#);
    let model = ("config.json", r#"{"model_type": "bert", "max_position_embeddings": 128}"#);
    assert_eq!(config(&[("tokenizer_config.json", tokens), none, model]).unwrap().max_tokens, 128);
}

#[test]
fn the_prompt_is_the_one_asked_for_or_the_default_or_the_query() {
    let prompts = |default: &str| {
        format!(r#"{{"prompts": {{"query": "Q: ", "document": "", "code": "C: "}}, "default_prompt_name": {default}}}"#)
    };
    let of = |default: &str, named: Option<&str>| {
        let folder = folder(&[("config_sentence_transformers.json", &prompts(default))]);
        let options = Options { prompt: named.map(str::to_owned), ..Options::default() };
        read(folder.path(), &options).map(|config| config.prefix)
    };
    assert_eq!(of("null", None).unwrap(), "Q: ");
    assert_eq!(of("\"code\"", None).unwrap(), "C: ");
    assert_eq!(of("\"code\"", Some("document")).unwrap(), "");
    let error = of("null", Some("quarry")).unwrap_err();
    assert!(error.to_string().contains("config_sentence_transformers.json"), "{error}");
    assert!(error.to_string().contains("'quarry', only: code, document, query"), "{error}");
}

#[test]
fn pooling_is_what_the_folder_says() {
    let pooled = |text: &str| match config(&[("1_Pooling/config.json", text)]) {
        Ok(ModelConfig { finish: Finish::Here { pooling: Some(pooling) }, .. }) => Ok(pooling),
        Ok(_) => panic!("no pooling"),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(pooled(r#"{"pooling_mode_mean_tokens": true}"#), Ok(Pooling::Mean));
    assert_eq!(pooled(r#"{"pooling_mode_cls_token": true}"#), Ok(Pooling::Cls));
    assert_eq!(pooled(r#"{"pooling_mode": "lasttoken"}"#), Ok(Pooling::LastToken));
    assert_eq!(pooled(r#"{"pooling_mode": ["max"]}"#), Ok(Pooling::Max));
    for (text, says) in [
        (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#, "cls_token and mean_tokens"),
        (r#"{"pooling_mode": "weightedmean"}"#, "weightedmean"),
        (r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#, "include_prompt"),
        ("{}", "no pooling mode"),
        ("{", "EOF"),
    ] {
        let error = pooled(text).unwrap_err();
        assert!(error.contains(says) && error.contains("1_Pooling/config.json"), "{error}");
    }
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "2_Pool", "type": "sentence_transformers.models.Pooling"}]"#;
    let elsewhere = ("2_Pool/config.json", r#"{"pooling_mode_mean_tokens": true}"#);
    let moved = config(&[("modules.json", modules), elsewhere]).unwrap();
    assert_eq!(moved.finish, Finish::Here { pooling: Some(Pooling::Mean) });
    let dense = r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
    let error = config(&[("modules.json", dense)]).unwrap_err().to_string();
    assert!(error.contains("modules.json") && error.contains("Dense"), "{error}");
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    for (gone, hint) in [("tokenizer.json", "AutoTokenizer"), ("onnx/model.onnx", "optimum-cli export onnx")] {
        let folder = folder(&[]);
        std::fs::remove_file(folder.path().join(gone)).unwrap();
        let error = read(folder.path(), &Options::default()).unwrap_err();
        assert!(error.to_string().contains(gone) && error.hint().unwrap().contains(hint), "{error}");
    }
    let options = Options { file: Some("onnx/model_q4.onnx".into()), ..Options::default() };
    let error = read(folder(&[]).path(), &options).unwrap_err();
    assert!(error.to_string().contains("model_q4.onnx") && error.hint().unwrap().contains("model.file"), "{error}");
    let error = config(&[("sentence_bert_config.json", r#"{"max_seq_length": 1}"#)]).unwrap_err();
    assert!(error.to_string().contains("sentence_bert_config.json"), "{error}");
}
