#!/usr/bin/env python3
"""Makes checkpoints of the kinds that people have, and what PyTorch computes with them, into `kinds` beside this file.

    python kinds.py       (PyTorch 2.15, safetensors 0.8)

Each folder holds the weights alone, without a config.json, and `sites.json`: by site the outputs of each document, `[documents]
[tokens][width]`, computed by PyTorch's own modules in single precision from the very values that lie in the file.
"""
import json
import os

import torch
from safetensors.torch import save_file, save_model

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, EMBEDDING, HIDDEN, PROJECTED = 11, 5, 6, 3
DOCUMENTS = [[3], [0, 9, 4, 4, 7], [10, 2, 1, 8, 5, 6, 3, 0, 2], [1, 5], [6, 6, 2, 9, 10, 1, 7]]


def model(cell="lstm", layers=2, **options):
    """A state dict by PyTorch's names, away from its small initial values, so that the nonlinearities show."""
    torch.manual_seed(7)
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    module = kind(EMBEDDING, HIDDEN, layers, **options)
    width = options.get("proj_size", 0) or HIDDEN
    last = torch.nn.Linear(width * (2 if options.get("bidirectional") else 1), VOCABULARY)
    state = {"encoder.weight": torch.randn(VOCABULARY, EMBEDDING)}
    state |= {f"{cell}.{k}": 2 * v.detach() for k, v in module.state_dict().items()}
    return state | {f"decoder.{k}": v.detach() for k, v in last.state_dict().items()}


@torch.no_grad()
def sites(state, cell="lstm", layers=2, bias=True, bidirectional=False, proj_size=0):
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    options = {"bias": bias, "bidirectional": bidirectional} | ({"proj_size": proj_size} if proj_size else {})
    found = {}
    for document in DOCUMENTS:
        x = state["encoder.weight"].float()[torch.tensor(document)]
        for k in range(layers):
            layer = kind(x.shape[1], HIDDEN, **options)
            layer.load_state_dict({name: state[f"{cell}.{name.replace('_l0', f'_l{k}')}"] for name in layer.state_dict()})
            x, _ = layer(x)
            parts = zip(("forward.", "reverse."), x.chunk(2, 1)) if bidirectional else [("", x)]
            for direction, part in parts:
                found.setdefault(f"{cell}.{k}.{direction}hidden", []).append(part.tolist())
    return found


def round_floats(x):
    return float(f"{x:.7g}") if isinstance(x, float) else [round_floats(y) for y in x]


def write(name, save, state, **options):
    """`save` puts a state dict into a folder; `state` is what PyTorch then has, whatever the names in the file."""
    place = f"{HERE}/kinds/{name}"
    os.makedirs(place, exist_ok=True)
    save(state, place)
    with open(f"{place}/sites.json", "w") as f:
        json.dump({name: round_floats(values) for name, values in sites(state, **options).items()}, f)


def whole(state, place):
    save_file({k: v.contiguous() for k, v in state.items()}, f"{place}/model.safetensors")


def renamed(*pairs):
    def save(state, place):
        for old, new in pairs:
            state = {k.replace(old, new, 1) if k.startswith(old) else k: v for k, v in state.items()}
        whole(state, place)
    return save


def in_type(dtype):
    """The state as it is in the file, and how it is saved."""
    state = {k: v.to(dtype).float() for k, v in model().items()}
    return state, lambda state, place: whole({k: v.to(dtype) for k, v in state.items()}, place)


def sharded(state, place):
    names, files = list(state), {}
    for number, part in enumerate((names[:4], names[4:])):
        file = f"model-{number + 1:05}-of-00002.safetensors"
        save_file({k: state[k].contiguous() for k in part}, f"{place}/{file}")
        files |= dict.fromkeys(part, file)
    with open(f"{place}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {}, "weight_map": files}, f)


def tied(state, place):
    module = torch.nn.ModuleDict({"encoder": torch.nn.Embedding(VOCABULARY, EMBEDDING),
                                  "lstm": torch.nn.LSTM(EMBEDDING, HIDDEN, proj_size=EMBEDDING),
                                  "decoder": torch.nn.Linear(EMBEDDING, VOCABULARY)})
    module.load_state_dict(state)
    module.decoder.weight = module.encoder.weight
    save_model(module, f"{place}/model.safetensors")


write("plain", whole, model())
write("rnn", renamed(("lstm.", "rnn.")), model())
write("ddp", renamed(("", "module.")), model())
write("compiled", renamed(("", "_orig_mod.")), model())
write("others", renamed(("encoder.", "net.word_embedding."), ("lstm.", "net.core."), ("decoder.", "net.fc.")), model())
for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16), ("f64", torch.float64)):
    state, save = in_type(dtype)
    write(name, save, state)
write("sharded", sharded, model())
write("pickled", lambda state, place: torch.save(state, f"{place}/pytorch_model.bin"), model())
# Only of embeddings as wide as the layers: here by way of a projection.
write("tied-alias", tied, model(layers=1, proj_size=EMBEDDING), layers=1, proj_size=EMBEDDING)
write("no-bias", whole, model(bias=False), bias=False)
write("headless", whole, {k: v for k, v in model().items() if not k.startswith("decoder")})
write("classifier", whole, model() | {"decoder.weight": torch.randn(2, HIDDEN), "decoder.bias": torch.randn(2)})
write("gru", whole, model("gru"), cell="gru")
write("bidirectional", whole, model(bidirectional=True), bidirectional=True)
write("bidirectional-gru", whole, model("gru", bidirectional=True), cell="gru", bidirectional=True)
write("projected", whole, model(proj_size=PROJECTED), proj_size=PROJECTED)
write("bidirectional-projected", whole, model(bidirectional=True, proj_size=PROJECTED), bidirectional=True, proj_size=PROJECTED)
