#!/usr/bin/env python3
"""Records the most active neuron of each token in PyTorch, for `source = { kind = "observations" }` of a stage.

    python record.py        a small model before and after a short training: early.tsv and late.tsv

`recorded` is all that a model of your own needs.
"""
import contextlib

import torch
from torch import nn


@contextlib.contextmanager
def recorded(module, path):
    documents, doc, file = [], 0, open(path, "w", encoding="utf-8", newline="\n")
    print("doc", "position", "token", "neuron", "activation", sep="\t", file=file)
    def hook(module, inputs, output):
        nonlocal doc
        hidden = output[0] if isinstance(output, tuple) else output    # [documents, tokens, neurons]
        activations, neurons = hidden.detach().float().max(dim=-1)
        for tokens, row, of_row in zip(documents, neurons.tolist(), activations.tolist(), strict=True):
            for position, (token, neuron, activation) in enumerate(zip(tokens, row, of_row)):
                print(doc, position, token, neuron, repr(activation), sep="\t", file=file)
            doc += 1
    with file, module.register_forward_hook(hook):
        yield documents


what = ["hot soup", "hot stew", "hot tea", "cold beer", "cold salad", "cold milk"]
lines = [f"the {who} {does} the {food} .".split() for who in ["cook", "waiter", "baker", "guest"]
         for does in ["likes", "wants", "serves"] for food in what]
words = {word: number for number, word in enumerate(sorted({word for line in lines for word in line}))}
ids = torch.tensor([[words[word] for word in line] for line in lines])
torch.manual_seed(1)
model = nn.ModuleDict({"embedding": nn.Embedding(len(words), 16), "lstm": nn.LSTM(16, 16, batch_first=True),
                       "fc": nn.Linear(16, len(words))})


def forward(ids):
    return model["fc"](model["lstm"](model["embedding"](ids))[0])


def read(path):
    with recorded(model["lstm"], path) as documents, torch.no_grad():
        for batch in range(0, len(lines), 8):
            documents[:] = lines[batch : batch + 8]
            forward(ids[batch : batch + 8])


read("early.tsv")
optimizer = torch.optim.Adam(model.parameters(), 0.03)
for step in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(forward(ids[:, :-1]).transpose(1, 2), ids[:, 1:]).backward()
    optimizer.step()
read("late.tsv")
