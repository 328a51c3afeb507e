#!/usr/bin/env python3
"""Makes the reference values beside this file: a small random LSTM language model as PyTorch computes and trains it.

    python make.py        (PyTorch 2.15, safetensors 0.8; writes config.json, model.safetensors, reference.json)
"""
import json
import os

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 23, 5, 9, 2
BATCH, BPTT, RATE, CLIP = 3, 7, 2.0, 0.25


class LanguageModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, LAYERS)
        self.decoder = torch.nn.Linear(HIDDEN, VOCABULARY)

    def outputs(self, ids, state=None):
        """The outputs of every layer `[layers, tokens, hidden]` and the state after the last token."""
        x, outputs, states = self.encoder(torch.tensor(ids)), [], []
        for k in range(LAYERS):
            layer = torch.nn.LSTM(x.shape[1], HIDDEN)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                setattr(layer, f"{name}_l0", getattr(self.lstm, f"{name}_l{k}"))
            x, s = layer(x, None if state is None else state[k])
            outputs.append(x)
            states.append(s)
        return torch.stack(outputs), states

    def nll(self, ids):
        """Of every token but the first."""
        logits = self.decoder(self.outputs(ids)[0][-1][:-1])
        return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()


def main():
    torch.manual_seed(20)
    model = LanguageModel()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)  # away from PyTorch's small initial values, so that the nonlinearities show
    save_file(model.state_dict(), f"{HERE}/model.safetensors")
    with open(f"{HERE}/config.json", "w") as f:
        json.dump({"model_type": "txray-lstm", "vocab_size": VOCABULARY, "embedding_size": EMBEDDING,
                   "hidden_size": HIDDEN, "num_layers": LAYERS}, f)

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
    n = len(stream) // BATCH
    data = torch.tensor(stream[: n * BATCH]).view(BATCH, n).t().contiguous()
    state, losses = None, []
    for i in range(0, n - 1, BPTT):
        steps = min(BPTT, n - 1 - i)
        hidden, state = model.lstm(model.encoder(data[i : i + steps]), state)
        state = tuple(s.detach() for s in state)
        logits = model.decoder(hidden).view(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, data[i + 1 : i + 1 + steps].reshape(-1))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(p.grad, alpha=-RATE)
        losses.append((loss.item(), steps * BATCH))
    reference["trained"] = {
        "batch": BATCH, "bptt": BPTT, "learning_rate": RATE, "clip": CLIP,
        "loss": sum(loss * n for loss, n in losses) / sum(n for _, n in losses),
        "weights": {k: v.flatten().tolist() for k, v in model.state_dict().items()},
    }
    with open(f"{HERE}/reference.json", "w") as f:
        json.dump(round_floats(reference), f)


def round_floats(x):
    if isinstance(x, float):
        return float(f"{x:.7g}")
    if isinstance(x, list):
        return [round_floats(y) for y in x]
    return {k: round_floats(v) for k, v in x.items()} if isinstance(x, dict) else x


main()
