//! Model folders as a user brings them, against transformers and torch: tiny models with random weights, with the vectors
//! that the reference implementation gave (`models/make.py`, `models/README.md`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use replay::embed::{self, Device, EmbedError, Embedder, Embedding, Options, Place};
use serde::Deserialize;

/// Largest difference of a number of a unit vector, of float32 graphs: sums in another order.
const TOLERANCE: f32 = 5e-6;
/// The same where keys, values and weights are float16, with 10 bits of mantissa.
const TOLERANCE_HALF: f32 = 5e-3;

/// Folders, graphs (empty: the folder's own), and how near they come to the reference.
const GRAPHS: [(&str, &str, f32); 5] = [
    ("bert", "", TOLERANCE),
    ("cmdcaliper", "", TOLERANCE),
    ("qwen3", "", TOLERANCE),
    ("qwen3", "onnx/model_cache.onnx", TOLERANCE),
    ("qwen3", "onnx/model_cache_fp16.onnx", TOLERANCE_HALF),
];

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    truncated: bool,
    vector: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name)
}

fn options(name: &str, graph: &str) -> Options {
    let file = (!graph.is_empty()).then(|| graph.into());
    Options { folder: Some(folder(name)), file, ..Options::default() }
}

fn open(options: &Options) -> Box<dyn Embedder> {
    embed::open(options).unwrap_or_else(|error| panic!("{error}\nhint: {}", error.hint().unwrap_or_default()))
}

fn refused(options: &Options) -> EmbedError {
    embed::open(options).map(|_| ()).expect_err("a bad folder")
}

fn expected(name: &str) -> Vec<Text> {
    let text = fs::read_to_string(folder(name).join("expected.json")).unwrap();
    serde_json::from_str::<Expected>(&text).unwrap().texts
}

fn embed(model: &dyn Embedder, texts: &[&str]) -> Vec<Embedding> {
    model.embed(texts).unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_reference_implementation() {
    for (name, graph, tolerance) in GRAPHS {
        let expected = expected(name);
        let model = open(&options(name, graph));
        assert_eq!(model.name(), name);
        let found = embed(&*model, &expected.iter().map(|text| text.text.as_str()).collect::<Vec<_>>());
        for (found, expected) in found.iter().zip(&expected) {
            let off = difference(&found.vector, &expected.vector);
            println!("{name} {graph} {off:.1e} {}", expected.text.chars().take(40).collect::<String>());
            assert!(off <= tolerance, "{name} {graph}: off by {off} at '{}'", expected.text);
            assert_eq!(found.truncated, expected.truncated, "{name} {graph}: '{}'", expected.text);
        }
        // The models tell texts apart, so that another text's vector would have been noticed.
        let all = expected.iter().enumerate();
        let pairs = all.flat_map(|(i, a)| expected[..i].iter().map(move |b| difference(&a.vector, &b.vector)));
        assert!(pairs.filter(|off| *off < 0.02).count() <= 2, "{name}: the reference hardly tells texts apart");
    }
}

#[test]
fn each_part_of_a_folder_matters() {
    let tmp = tempfile::tempdir().unwrap();
    let expected = expected("qwen3");
    let changed = |file: &str, from: &str, to: &str| {
        let copy = tmp.path().join(file.replace('/', "_"));
        copy_folder(&folder("qwen3"), &copy);
        let text = fs::read_to_string(copy.join(file)).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        fs::write(copy.join(file), text.replace(from, to)).unwrap();
        let model = open(&Options { folder: Some(copy), ..Options::default() });
        difference(&embed(&*model, &[&expected[1].text])[0].vector, &expected[1].vector)
    };
    for (file, from, to) in [
        ("1_Pooling/config.json", "\"pooling_mode_lasttoken\": true", "\"pooling_mode_mean_tokens\": true"),
        ("config_sentence_transformers.json", "Find like", "Find unlike"),
        ("tokenizer_config.json", "\"model_max_length\": 131072", "\"model_max_length\": 16"),
    ] {
        let off = changed(file, from, to);
        assert!(off > 10.0 * TOLERANCE, "{file}: off by {off}");
    }
}

#[test]
fn a_vector_depends_on_its_text_alone_bit_by_bit() {
    let tmp = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..60).map(|n| format!("tool --level {n} {}", "in ".repeat(n % 11))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (name, graph, _) in GRAPHS {
        let with = |threads, cache| open(&Options { threads, cache, ..options(name, graph) });
        let together = embed(&*with(2, None), &texts);
        let backwards = embed(&*with(1, None), &texts.iter().rev().copied().collect::<Vec<_>>());
        let alone = with(1, None);
        let place = Place { folder: tmp.path().to_owned(), limit: 1 << 20 };
        let first = embed(&*with(2, Some(place.clone())), &texts[10..40]);
        let kept = embed(&*with(1, Some(place)), &texts);
        for (i, text) in texts.iter().enumerate() {
            let bits = |embedding: &Embedding| embedding.vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let one = bits(&embed(&*alone, &[text])[0]);
            assert_eq!(one, bits(&together[i]), "{name} {graph}: alone, and among others on two threads: {text}");
            assert_eq!(one, bits(&backwards[texts.len() - 1 - i]), "{name} {graph}: in another order: {text}");
            assert_eq!(one, bits(&kept[i]), "{name} {graph}: out of the cache, or beside it: {text}");
            assert!(!(10..40).contains(&i) || one == bits(&first[i - 10]));
        }
    }
}

#[test]
fn what_a_model_does_not_see_is_flagged() {
    let long = "worker ".repeat(400);
    let run = "a".repeat(120);
    for (name, unknown) in [("bert", true), ("cmdcaliper", true), ("qwen3", false)] {
        let model = open(&options(name, ""));
        let found = embed(&*model, &[&long, &format!("{long} more"), "ls", &run]);
        assert!(found[0].truncated && found[1].truncated && !found[2].truncated, "{name}");
        assert_eq!(found[0].vector, found[1].vector, "{name}: what lies past the limit is not in the vector");
        // Byte-level tokenizers can spell anything; a run of 120 letters is then long, and cut.
        assert_eq!((found[3].unknown, found[3].is_whole()), (unknown, false), "{name}");
        assert!(found[2].is_whole(), "{name}");
    }
}

#[test]
fn bad_folders_name_the_file_and_the_way_out() {
    let tmp = tempfile::tempdir().unwrap();
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str, &str, &str); 8] = [
        ("qwen3", |path| fs::remove_file(path).unwrap(), "tokenizer.json", "no such file", "save_pretrained"),
        ("qwen3", |path| fs::write(path, "{\"model\": 7}").unwrap(), "tokenizer.json", "", "original"),
        ("qwen3", |path| fs::remove_file(path).unwrap(), "1_Pooling/config.json", "last_hidden_state", "modules.json"),
        ("qwen3", |path| fs::write(path, "[{").unwrap(), "modules.json", "EOF", ""),
        (
            "qwen3",
            |path| fs::write(path, "version https://git-lfs.github.com/spec/v1\n").unwrap(),
            "onnx/model.onnx",
            "Git LFS",
            "download",
        ),
        ("qwen3", |path| fs::write(path, "").unwrap(), "onnx/model.onnx", "empty", "download"),
        ("bert", cut, "onnx/model.onnx", "cut off", "download"),
        ("cmdcaliper", |path| fs::remove_file(path).unwrap(), "model.onnx_data", "not beside it", "download"),
    ];
    for (index, (name, damage, file, says, hint)) in cases.into_iter().enumerate() {
        let copy = tmp.path().join(index.to_string());
        copy_folder(&folder(name), &copy);
        damage(&copy.join(file));
        let error = refused(&Options { folder: Some(copy), ..Options::default() });
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(says) && !text.contains('\n'), "{text}");
        assert!(error.hint().unwrap_or_default().contains(hint) && error.is_missing_prerequisite(), "{error:?}");
    }
    let error = refused(&Options { prompt: Some("passage".to_owned()), ..options("qwen3", "") });
    assert!(error.to_string().contains("'passage', only: document, query"), "{error}");
    let error = refused(&Options { folder: Some(folder("qwen3/onnx")), ..Options::default() });
    assert!(error.to_string().contains("config.json"), "{error}");
}

/// What a half-finished download leaves.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn other_weights_are_another_model_to_the_cache() {
    let tmp = tempfile::tempdir().unwrap();
    let copy = tmp.path().join("model");
    copy_folder(&folder("cmdcaliper"), &copy);
    let place = Place { folder: tmp.path().join("cache"), limit: 1 << 20 };
    let options = Options { folder: Some(copy.clone()), cache: Some(place), ..Options::default() };
    let before = embed(&*open(&options), &["ls"]);
    // The graph's own file stays the same: its weights lie beside it.
    let weights = copy.join("model.onnx_data");
    let mut bytes = fs::read(&weights).unwrap();
    // Little-endian float32: the sign of every weight.
    bytes.iter_mut().skip(3).step_by(4).for_each(|byte| *byte ^= 0x80);
    fs::write(&weights, bytes).unwrap();
    assert_ne!(embed(&*open(&options), &["ls"]), before);
}

/// On a machine with a GPU and a library for it (ORT_DYLIB_PATH) the vectors are compared instead.
#[test]
fn cuda_gives_the_same_vectors_or_an_error_with_the_way_out() {
    let cuda = |name| Options { device: Device::Cuda, ..options(name, "") };
    if let Ok(model) = embed::open(&cuda("qwen3")) {
        println!("CUDA is there: comparing with the reference");
        for text in expected("qwen3") {
            let off = difference(&embed(&*model, &[&text.text])[0].vector, &text.vector);
            assert!(off <= TOLERANCE, "off by {off} at '{}'", text.text);
        }
        return;
    }
    println!("no CUDA here: only the error is tested");
    let error = refused(&cuda("bert"));
    assert!(error.to_string().contains("cannot run on cuda"), "{error}");
    assert!(error.hint().unwrap().contains("onnxruntime-gpu") && error.is_missing_prerequisite());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // In order, though nothing depends on it.
    let entries: BTreeMap<_, _> =
        fs::read_dir(from).unwrap().flatten().map(|entry| (entry.file_name(), entry.path())).collect();
    for (name, path) in entries {
        match path.is_dir() {
            true => copy_folder(&path, &to.join(name)),
            false => drop(fs::copy(path, to.join(name)).unwrap()),
        }
    }
}
