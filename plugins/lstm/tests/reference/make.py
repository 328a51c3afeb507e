#!/usr/bin/env python3
"""Makes the reference values beside this file: small random language models as PyTorch computes and trains them.

    python make.py        (PyTorch 2.15, safetensors 0.8)

Writes config.json, model.safetensors and reference.json into `lstm`, trained by SGD, and `gru`, whose decoder is tied to
its embeddings, trained by AdamW. Into `pickled` the tensors of `lstm` as PyTorch pickles them: a state dict, and two among other
things as training scripts keep it: beside a loss, a mask and an optimizer's state, and deeper, where one matrix is turned around and all
are of one storage. `several.pt` has two, and in `complex.pt` the biases are complex numbers.
"""
import json
import os

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, HIDDEN, LAYERS = 23, 9, 2
BATCH, BPTT, CLIP = 3, 7, 0.25


class LanguageModel(torch.nn.Module):
    def __init__(self, cell, embedding, tied):
        super().__init__()
        self.cell, self.kind = cell, {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
        self.encoder = torch.nn.Embedding(VOCABULARY, embedding)
        setattr(self, cell, self.kind(embedding, HIDDEN, LAYERS))
        self.decoder = torch.nn.Linear(HIDDEN, VOCABULARY)
        if tied:
            self.decoder.weight = self.encoder.weight

    @property
    def layers(self):
        return getattr(self, self.cell)

    def outputs(self, ids):
        """The outputs of every layer `[layers, tokens, hidden]` and the state after the last token."""
        x, outputs, states = self.encoder(torch.tensor(ids)), [], []
        for k in range(LAYERS):
            layer = self.kind(x.shape[1], HIDDEN)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                setattr(layer, f"{name}_l0", getattr(self.layers, f"{name}_l{k}"))
            x, s = layer(x)
            outputs.append(x)
            states.append(s if self.cell == "lstm" else (s,))
        return torch.stack(outputs), states

    def nll(self, ids):
        """Of every token but the first."""
        logits = self.decoder(self.outputs(ids)[0][-1][:-1])
        return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()


def make(cell, embedding, tied, optimizer):
    torch.manual_seed(20)
    model = LanguageModel(cell, embedding, tied)
    place = f"{HERE}/{cell}"
    os.makedirs(place, exist_ok=True)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)  # away from PyTorch's small initial values, so that the nonlinearities show
    # Two names of one tensor are two tensors in a file.
    save_file({k: v.clone() for k, v in model.state_dict().items()}, f"{place}/model.safetensors")
    config = {"model_type": "txray-lstm", "vocab_size": VOCABULARY, "embedding_size": embedding,
              "hidden_size": HIDDEN, "num_layers": LAYERS}
    if cell != "lstm" or tied:
        config |= {"cell": cell, "tied": tied}
    with open(f"{place}/config.json", "w") as f:
        json.dump(config, f)

    documents = [torch.randint(VOCABULARY, (n,)).tolist() for n in (1, 4, 17, 2, 12, 8)]
    stream = sum(documents, [])
    with torch.no_grad():
        outputs, state = model.outputs(stream)
        reference = {
            "documents": documents,
            # [documents][layers][tokens][hidden]
            "hidden": [model.outputs(d)[0].tolist() for d in documents],
            # [layers][tokens][hidden], and [layers][h, c][hidden] after the last
            "carried": outputs.tolist(),
            "state": [[s[0].tolist() for s in layer] for layer in state],
            "nll": sum(model.nll(d) for d in documents if len(d) > 1),
            "carried_nll": model.nll(stream),
        }

    # An epoch as the word language model example of PyTorch runs it, without dropout, the state carried.
    update = {"sgd": lambda p, **o: torch.optim.SGD(p, lr=o["learning_rate"]),
              "adamw": lambda p, **o: torch.optim.AdamW(p, lr=o["learning_rate"], betas=o["betas"], eps=o["epsilon"],
                                                        weight_decay=o["weight_decay"])}
    update = update[optimizer["optimizer"]](model.parameters(), **optimizer)
    n = len(stream) // BATCH
    data = torch.tensor(stream[: n * BATCH]).view(BATCH, n).t().contiguous()
    state, losses = None, []
    for i in range(0, n - 1, BPTT):
        steps = min(BPTT, n - 1 - i)
        hidden, state = model.layers(model.encoder(data[i : i + steps]), state)
        state = tuple(s.detach() for s in state) if cell == "lstm" else state.detach()
        logits = model.decoder(hidden).view(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, data[i + 1 : i + 1 + steps].reshape(-1))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        update.step()
        losses.append((loss.item(), steps * BATCH))
    reference["trained"] = {
        "options": {"batch": BATCH, "bptt": BPTT, "clip": CLIP, "dropout": 0.0, "state": "carry", **optimizer},
        "loss": sum(loss * n for loss, n in losses) / sum(n for _, n in losses),
        "weights": {k: v.flatten().tolist() for k, v in model.state_dict().items()},
    }
    with open(f"{place}/reference.json", "w") as f:
        json.dump(round_floats(reference), f)


def round_floats(x):
    if isinstance(x, float):
        return float(f"{x:.7g}")
    if isinstance(x, list):
        return [round_floats(y) for y in x]
    return {k: round_floats(v) for k, v in x.items()} if isinstance(x, dict) else x


make("lstm", 5, False, {"optimizer": "sgd", "learning_rate": 2.0})
make("gru", HIDDEN, True,
     {"optimizer": "adamw", "learning_rate": 0.05, "betas": [0.8, 0.95], "epsilon": 1e-6, "weight_decay": 0.1})

place = f"{HERE}/pickled"
os.makedirs(place, exist_ok=True)
state = load_file(f"{HERE}/lstm/model.safetensors")
torch.save(state, f"{place}/pytorch_model.bin")
torch.save({"epoch": 3, "model_state_dict": state}, f"{place}/training.pt")
flat, at, views = torch.cat([v.flatten() for v in state.values()]), 0, {}
for name, value in state.items():
    views[name] = flat[at : at + value.numel()].view(value.shape)
    at += value.numel()
views["decoder.weight"] = state["decoder.weight"].t().contiguous().t()
torch.save({"loss": torch.tensor(1.0), "run": {"net": views | {"mask": torch.ones(2, 2, dtype=torch.bool)}},
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}}, f"{place}/nested.pt")
torch.save({"generator": state, "critic": dict(state)}, f"{place}/several.pt")
torch.save({k: v.to(torch.complex64) if "bias" in k else v for k, v in state.items()}, f"{place}/complex.pt")
