#!/usr/bin/env python3
"""Classifiers of documents between PyTorch and txray: their folders are the same (docs/checkpoints.md).

    python classifier.py train REVIEWS.tsv FOLDER     trains one on lines `label<TAB>text`; `path = "FOLDER"` of a [model.NAME] loads it
    python classifier.py predict FOLDER TEXT ...      what one tells of texts, whoever trained it

With the libraries `torch`, `safetensors` and `tokenizers`.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


class Classifier(torch.nn.Module):
    def __init__(self, vocab_size, embedding_size, hidden_size, num_layers, num_labels, pooling="last", cell="lstm"):
        super().__init__()
        self.cell, self.pooling = cell, pooling
        self.encoder = torch.nn.Embedding(vocab_size, embedding_size)
        setattr(self, cell, MODULES[cell](embedding_size, hidden_size, num_layers))
        self.classifier = torch.nn.Linear(hidden_size * (3 if pooling == "concat" else 1), num_labels)

    def forward(self, ids):
        """The scores `[labels]` of one document."""
        outputs, _ = getattr(self, self.cell)(self.encoder(ids))
        pooled = {"last": outputs[-1], "mean": outputs.mean(0), "max": outputs.max(0).values}
        names = list(pooled) if self.pooling == "concat" else [self.pooling]
        return self.classifier(torch.cat([pooled[name] for name in names]))

    @classmethod
    def load(cls, folder):
        with open(f"{folder}/config.json", encoding="utf-8") as f:
            config = json.load(f)
        keys = ("vocab_size", "embedding_size", "hidden_size", "num_layers", "num_labels", "pooling", "cell")
        model = cls(**{key: config[key] for key in keys if key in config})
        model.load_state_dict(load_file(f"{folder}/model.safetensors"))
        return model.eval()

    def save(self, folder):
        os.makedirs(folder, exist_ok=True)
        save_file(self.state_dict(), f"{folder}/model.safetensors")
        layers = getattr(self, self.cell)
        config = {"model_type": "txray-lstm", "vocab_size": self.encoder.num_embeddings,
                  "embedding_size": self.encoder.embedding_dim, "hidden_size": layers.hidden_size,
                  "num_layers": layers.num_layers, "cell": self.cell, "task": "classification",
                  "num_labels": self.classifier.out_features, "pooling": self.pooling}
        with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)


def train(path, folder):
    with open(path, encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t", 1) for line in f]
    names = sorted({label for label, _ in rows})
    words = {word: number for number, word in enumerate(["<unk>", *sorted({word for _, text in rows for word in text.split()})])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(1)
    model = Classifier(len(words), 32, 32, 1, len(names), "mean")
    update = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(5):
        total = 0.0
        for label, text in rows:
            scores = model(torch.tensor(tokenizer.encode(text).ids))
            loss = torch.nn.functional.cross_entropy(scores, torch.tensor(names.index(label)))
            update.zero_grad()
            loss.backward()
            update.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(rows):.4f}")
    model.save(folder)
    tokenizer.save(f"{folder}/tokenizer.json")
    with open(f"{folder}/labels.json", "w", encoding="utf-8") as f:
        json.dump({"labels": names}, f)


@torch.no_grad()
def predict(folder, *texts):
    model, tokenizer = Classifier.load(folder), Tokenizer.from_file(f"{folder}/tokenizer.json")
    for text in texts:
        probabilities = model(torch.tensor(tokenizer.encode(text).ids)).softmax(0)
        print(*(f"{p:.4f}" for p in probabilities.tolist()), text, sep="\t")


if __name__ == "__main__":
    {"train": train, "predict": predict}[sys.argv[1]](*sys.argv[2:])
