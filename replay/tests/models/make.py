"""Makes the tiny models beside this script, and what the reference implementation says of them.

    make.py [DIR]     writes DIR/bert, DIR/cmdcaliper and DIR/qwen3 (default: the script's own folder)

Weights are random by a fixed seed; folders have the files, names and settings that the real ones have. The graphs are
exported as a user would (optimum), the expected vectors computed by transformers and torch in one padded batch, the way the
models' own cards show. README.md says in which environment.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import onnx
import torch
import transformers
from onnxruntime.transformers.float16 import convert_float_to_float16
from optimum.exporters.onnx import export, main_export
from optimum.exporters.onnx.model_configs import Qwen3OnnxConfig
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

SEED = 20240607
# The default of 0.02 is for training: with it, a text's tokens would hardly look at each other.
SPREAD = 0.4

TEXTS = [
    "ls",
    "curl -s http://10.0.0.5/health",
    "CURL -S HTTP://10.0.0.5/HEALTH",
    "tar -czf /var/backups/site.tar.gz /srv/site",
    "sh -c cat /proc/1/stat | cut -d' ' -f14",
    "python3 -c import os; os.setuid(0)",
    "xmrig -o stratum+tcp://pool.minexmr.com:3333 -u wallet",
    "",
    "gzip -9 <num> \u00e9t\u00e9",
    "nice -n 19 " + "worker " * 40,
    "echo " + "a" * 120,
    "kill -9 4312",
]

WORDS = "curl http tar gzip sh cat cut python import os xmrig tcp pool worker nice echo kill health var srv site".split()


def bert_tokenizer(limit):
    signs = sorted({c for c in map(chr, range(33, 127)) if c == c.lower()})
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *("##" + c for c in signs), *WORDS]
    numbered = {token: i for i, token in enumerate(vocab)}
    tokenizer = Tokenizer(models.WordPiece(numbered, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", numbered["[CLS]"]), ("[SEP]", numbered["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.decoder = decoders.WordPiece()
    # As all-MiniLM-L6-v2's own file does: a limit and a padding that are not the model's.
    tokenizer.enable_truncation(max_length=16)
    tokenizer.enable_padding(length=16)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=limit, **names)


def qwen_tokenizer():
    # Byte-level BPE with a few merges; the expression is that of Qwen's tokenizer.json.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("c", "u"), ("cu", "r"), ("cur", "l"), ("t", "a"), ("ta", "r"), ("o", "r"), ("\u0120", "-"), ("e", "r"), ("k", "er")]
    numbered = {token: i for i, token in enumerate([*letters, *(a + b for a, b in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=numbered, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    split = pre_tokenizers.Split(words, "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    # Every text ends with <|endoftext|>, which is the padding token, not the eos_token.
    end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    closing = processors.TemplateProcessing(single="$A <|endoftext|>", special_tokens=[end])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), closing])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=131072, eos_token="<|im_end|>",
                                   pad_token="<|endoftext|>")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def sentence_files(folder, dims, mode, prompts, limit):
    kinds = ["Transformer", "Pooling", "Normalize"]
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)])
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    pooling = {f"pooling_mode_{name}": name == mode for name in modes}
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": dims, **pooling, "include_prompt": True})
    write_json(folder / "config_sentence_transformers.json",
               {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"})
    if limit:
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})


def exported(model, tokenizer):
    """The graph as optimum exports it from the model's folder."""
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        main_export(work, output=work + "/onnx", task="feature-extraction", library_name="transformers", do_validation=False)
        return onnx.load(work + "/onnx/model.onnx")


def exported_with_cache(model):
    """The same with inputs and outputs for keys and values, as ready-made exports of decoders have them."""
    config = Qwen3OnnxConfig(model.config, task="feature-extraction", use_past=True, use_past_in_inputs=True)
    with tempfile.TemporaryDirectory() as work:
        export(model, config, Path(work) / "model.onnx", opset=18)
        return onnx.load(work + "/model.onnx")


def mean(states, mask):
    mask = mask.unsqueeze(-1).float()
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def last(states, mask):
    assert bool(mask[:, -1].all()), "padded on the left, the last column is every text's last token"
    return states[:, -1]


def expected(folder, model, tokenizer, pool, prefix, limit):
    batch = tokenizer([prefix + text for text in TEXTS], padding=True, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
        vectors = torch.nn.functional.normalize(pool(states, batch["attention_mask"]), p=2, dim=1)
    whole = tokenizer([prefix + text for text in TEXTS])["input_ids"]
    write_json(folder / "expected.json", {
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "texts": [
            {
                "text": text,
                "tokens": batch["input_ids"][i][batch["attention_mask"][i].bool()].tolist(),
                "truncated": len(whole[i]) > limit,
                "vector": [float(f"{number:.7g}") for number in vectors[i].tolist()],
            }
            for i, text in enumerate(TEXTS)
        ],
    })


def bert(folder, layers, limit):
    tokenizer = bert_tokenizer(limit)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=64, initializer_range=SPREAD)
    model = BertModel(config, add_pooling_layer=False).eval()
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sentence_files(folder, 16, "mean_tokens", {"query": "", "document": ""}, limit)
    expected(folder, model, tokenizer, mean, "", limit)
    return exported(model, tokenizer)


def save(graph, path, **options):
    # Where in transformers' source each node comes from.
    for node in graph.graph.node:
        node.doc_string = ""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, path, **options)


def make(root):
    for name in ("bert", "cmdcaliper", "qwen3"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    torch.manual_seed(SEED)
    save(bert(root / "bert", 2, 48), root / "bert/onnx/model.onnx")
    # As large models are: the weights in a file of their own.
    save(bert(root / "cmdcaliper", 1, 64), root / "cmdcaliper/model.onnx", save_as_external_data=True,
         location="model.onnx_data", size_threshold=256)

    folder, limit = root / "qwen3", 96
    tokenizer = qwen_tokenizer()
    config = Qwen3Config(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=limit,
                         initializer_range=SPREAD, tie_word_embeddings=True, attn_implementation="eager")
    model = Qwen3Model(config).eval()
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    prefix = "Instruct: Find like command lines\nQuery:"
    sentence_files(folder, 16, "lasttoken", {"query": prefix, "document": ""}, None)
    tokenizer.padding_side = "left"
    expected(folder, model, tokenizer, last, prefix, limit)
    save(exported(model, tokenizer), folder / "onnx/model.onnx")
    cached = exported_with_cache(model)
    save(cached, folder / "onnx/model_cache.onnx")
    save(convert_float_to_float16(cached, keep_io_types=False), folder / "onnx/model_cache_fp16.onnx")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
