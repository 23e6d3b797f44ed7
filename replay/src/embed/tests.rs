//! Facts about the real model. It is there after `./dev setup base`; without it these tests fail and say so.

use std::path::Path;
use std::process::Command;

use super::*;

/// Set for a copy of this test program that is to fail to open the model, and print how.
const CHILD: &str = "RETROSCOPE_TEST_CHILD";

fn model(threads: usize) -> Box<dyn Embedder> {
    open(&Options { threads, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error}\nhint: {}", error.hint().unwrap_or_default()))
}

fn at(folder: &Path) -> Options {
    Options { folder: Some(folder.to_path_buf()), ..Options::default() }
}

fn one(model: &dyn Embedder, text: &str) -> Embedding {
    model.embed(&[text]).unwrap().remove(0)
}

#[test]
fn the_default_model_opens() {
    if std::env::var_os(CHILD).is_some() {
        let error = open(&Options::default()).map(|_| ()).unwrap_err();
        println!("child: {error}|{}|{}", error.is_missing_prerequisite(), error.hint().unwrap_or_default());
        return;
    }
    let model = model(1);
    assert_eq!((model.name(), one(&*model, "ls").vector.len()), ("all-MiniLM-L6-v2", 384));
    assert!(model.embed(&[]).unwrap().is_empty());
}

/// The numbers sentence-transformers gives for this sentence; the tolerance is that of a different summation order.
#[test]
fn vectors_are_those_of_the_reference_implementation() {
    let embedding = one(&*model(1), "This is an example sentence");
    for (ours, reference) in embedding.vector.iter().zip([0.067_656_92, 0.063_495_97, 0.048_713_12]) {
        assert!((ours - reference).abs() < 1e-5, "{ours} {reference}");
    }
    let length: f32 = embedding.vector.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
}

#[test]
fn near_texts_are_nearer_than_far_ones() {
    let model = model(1);
    let [a, b, c] = ["curl -s http://10.0.0.5/health", "wget -q http://10.0.0.9/status", "gzip -9 /var/log/access.log"]
        .map(|text| one(&*model, text));
    assert!(a.cosine(&a) > 0.999_999);
    assert!(a.cosine(&b) > a.cosine(&c) + 0.1, "{} {}", a.cosine(&b), a.cosine(&c));
}

#[test]
fn blind_spots_are_flagged() {
    let model = model(1);
    let long = "word ".repeat(300);
    let (a, b) = (one(&*model, &format!("{long} harmless")), one(&*model, &format!("{long} miner")));
    assert!(a.truncated && b.truncated && !a.is_whole());
    assert_eq!(a.vector, b.vector, "what lies past the limit is not in the vector");
    let (a, b) = ("a".repeat(150), "b".repeat(150));
    let (a, b) = (one(&*model, &format!("sh -c {a}")), one(&*model, &format!("sh -c {b}")));
    assert!(a.unknown && b.unknown && !a.truncated && !a.is_whole());
    assert_eq!(a.vector, b.vector, "an unbroken run over 100 characters says nothing");
    // 254 one-token words and the two special tokens are just the limit.
    let just = one(&*model, &"word ".repeat(254));
    assert!(just.is_whole());
    assert!(one(&*model, &"word ".repeat(255)).truncated);
    assert!(one(&*model, "").is_whole());
}

#[test]
fn a_vector_depends_on_its_text_alone() {
    let texts: Vec<String> =
        (0..150).map(|n| format!("/usr/bin/tool --level {n} {}", "input ".repeat(n % 37))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = model(2).embed(&texts).unwrap();
    let reversed = model(1).embed(&texts.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    let alone = model(1);
    for (i, text) in texts.iter().enumerate() {
        assert_eq!(one(&*alone, text), together[i], "alone and among others, on one thread and on two: {text}");
        assert_eq!(reversed[texts.len() - 1 - i], together[i]);
    }
}

/// Runs [`the_default_model_opens`] in a process of its own, as a library once loaded stays.
fn child(program: &Path, folder: &Path, variables: &[(&str, &Path)]) -> String {
    let output = Command::new(program)
        .args(["--exact", "embed::tests::the_default_model_opens", "--nocapture", "--test-threads=1"])
        .current_dir(folder)
        .env_remove(MODEL_VAR)
        .env_remove(LIBRARY_VAR)
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().find_map(|line| line.split_once("child: ").map(|(_, said)| said.to_owned())).unwrap()
}

#[test]
fn a_missing_or_foreign_library_is_an_error_and_not_a_panic() {
    let program = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text_file = folder.path().join("libonnxruntime.so");
    std::fs::write(&text_file, "not a library").unwrap();
    let other = locate::library().expect("set up").with_file_name("libonnxruntime_providers_shared.so");
    for (library, says) in
        [(folder.path().join("nowhere.so"), "No such file"), (text_file, "failed to load"), (other, "OrtGetApiBase")]
    {
        let said = child(&program, folder.path(), &[(LIBRARY_VAR, &library)]);
        assert!(said.contains(says) && said.contains("|true|") && said.contains("ORT_DYLIB_PATH"), "{said}");
    }
}

#[test]
fn without_set_up_the_error_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    // A copy outside the project finds neither model nor library.
    let program = folder.path().join("elsewhere");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let said = child(&program, folder.path(), &[]);
    assert!(said.starts_with("no embedding model found") && said.contains("./dev setup base"), "{said}");
    let model = locate::model(None).expect("set up");
    let said = child(&program, folder.path(), &[(MODEL_VAR, &model.canonicalize().unwrap())]);
    assert!(said.starts_with("no ONNX Runtime library found") && said.contains("./dev setup base"), "{said}");
}

#[test]
fn a_damaged_model_is_refused() {
    let source = locate::model(None).expect("set up");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    let graph = std::fs::read(source.join("model.onnx")).unwrap();
    std::fs::write(folder.path().join("model.onnx"), &graph[..graph.len() / 2]).unwrap();
    let error = open(&at(folder.path())).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("SHA-256") && error.is_missing_prerequisite(), "{error}");
}
