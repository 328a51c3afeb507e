#!/usr/bin/env python3
"""Makes classifiers of documents and a tagger as PyTorch computes and trains them, into `labels` beside this file.

    python labels.py      (PyTorch 2.15, safetensors 0.8)

Each folder is a checkpoint (config.json and model.safetensors, as a PyTorch user would save a state dict) and `reference.json`: the
log-probabilities of documents or tokens, and the losses and weights of some epochs of Adam, all documents in one step.
"""
import json
import os

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, EMBEDDING, HIDDEN, LABELS = 13, 5, 6, 3
DOCUMENTS = [[3], [0, 9, 4, 4, 7], [10, 2, 1, 8, 5, 6, 3, 0, 2], [], [1, 5], [6, 6, 2, 9, 10, 1, 7], [12, 11, 12]]
CLASS_WEIGHTS = [0.5, 2.0, 1.0]
EPOCHS, RATE, CLIP = 3, 0.02, 0.25


class Labels(torch.nn.Module):
    def __init__(self, cell, layers, pooling):
        super().__init__()
        self.pooling = pooling
        self.embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING)
        self.rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](EMBEDDING, HIDDEN, layers)
        self.fc = torch.nn.Linear(HIDDEN * (3 if pooling == "concat" else 1), LABELS)

    def forward(self, ids):
        """`[1, labels]` of a document, or `[tokens, labels]` of its tokens."""
        if not ids:
            return self.fc(torch.zeros(1, self.fc.in_features)) if self.pooling else torch.zeros(0, LABELS)
        outputs, _ = self.rnn(self.embedding(torch.tensor(ids)))
        if not self.pooling:
            return self.fc(outputs)
        parts = {"last": outputs[-1], "mean": outputs.mean(0), "max": outputs.max(0).values}
        names = list(parts) if self.pooling == "concat" else [self.pooling]
        return self.fc(torch.cat([parts[name] for name in names])).unsqueeze(0)


def round_floats(x):
    return float(f"{x:.7g}") if isinstance(x, float) else [round_floats(y) for y in x]


def make(name, cell="lstm", layers=1, pooling=None):
    torch.manual_seed(11)
    model = Labels(cell, layers, pooling)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2.0)  # away from PyTorch's small initial values, so that the nonlinearities show
    place = f"{HERE}/labels/{name}"
    os.makedirs(place, exist_ok=True)
    save_file(model.state_dict(), f"{place}/model.safetensors")
    config = {"model_type": "txray-lstm", "task": "classification" if pooling else "tagging", "num_labels": LABELS}
    with open(f"{place}/config.json", "w") as f:
        json.dump(config | ({"pooling": pooling} if pooling else {}), f)

    # A label a document or a token; -100, PyTorch's own, is none.
    count = len(DOCUMENTS) if pooling else sum(map(len, DOCUMENTS))
    targets = [(i * i + i) % LABELS if i % 5 != 2 else -100 for i in range(count)]
    with torch.no_grad():
        logits = torch.cat([model(ids) for ids in DOCUMENTS])
        reference = {"documents": DOCUMENTS, "targets": targets,
                     "log_probabilities": round_floats(logits.log_softmax(1).tolist())}
    update = torch.optim.Adam(model.parameters(), lr=RATE)
    criterion = torch.nn.CrossEntropyLoss(torch.tensor(CLASS_WEIGHTS))
    losses = []
    for _ in range(EPOCHS):
        loss = criterion(torch.cat([model(ids) for ids in DOCUMENTS]), torch.tensor(targets))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        update.step()
        losses.append(loss.item())
    reference |= {"options": {"epochs": EPOCHS, "batch": len(DOCUMENTS), "learning_rate": RATE, "clip": CLIP, "dropout": 0.0,
                              "class_weights": CLASS_WEIGHTS},
                  "losses": round_floats(losses),
                  "weights": {k: round_floats(v.flatten().tolist()) for k, v in model.state_dict().items()}}
    with open(f"{place}/reference.json", "w") as f:
        json.dump(reference, f)


for pooling in ("last", "mean", "max", "concat"):
    make(pooling, pooling=pooling)
make("tagging", cell="gru", layers=2)
