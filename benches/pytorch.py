#!/usr/bin/env python3
"""What `speed.py` holds txray against: the same reading and the same training as a PyTorch user would write them today.

    pytorch.py model  --text T --out DIR --hidden N          a random model over the words of a text
    pytorch.py read   --model DIR --text T                   encode, take the most active neuron, sum by feature
    pytorch.py train  --text T --valid V --hidden N ...      a language model by truncated backpropagation
    pytorch.py sgemm  --hidden N                             the rate of the recurrent product alone

Each prints one JSON object. What is timed leaves out imports, tokenizing, loading and writing; threads are PyTorch's own
choice.
"""
import argparse
import json
import os
import resource
import time
from collections import Counter

import torch

UNK, EOS = "<unk>", "<eos>"


def documents(path):
    """A line is a document; blank lines are none."""
    with open(path, encoding="utf-8") as f:
        return [line.split() for line in f if line.strip()]


def vocabulary(docs, min_count):
    counts = Counter(word for doc in docs for word in doc)
    words = sorted((w for w, c in counts.items() if c >= min_count and w not in (UNK, EOS)), key=lambda w: (-counts[w], w))
    return {w: i for i, w in enumerate([UNK, EOS] + words)}


def numbers(docs, words):
    return [[words.get(w, 0) for w in doc] + [1] for doc in docs]


class LanguageModel(torch.nn.Module):
    def __init__(self, vocabulary, embedding, hidden, layers=1, dropout=0.2):
        super().__init__()
        self.drop = torch.nn.Dropout(dropout)
        self.encoder = torch.nn.Embedding(vocabulary, embedding)
        self.lstm = torch.nn.LSTM(embedding, hidden, layers, dropout=dropout if layers > 1 else 0.0)
        self.decoder = torch.nn.Linear(hidden, vocabulary)
        for weight in (self.encoder.weight, self.decoder.weight):
            torch.nn.init.uniform_(weight, -0.1, 0.1)
        torch.nn.init.zeros_(self.decoder.bias)

    def forward(self, ids, state=None):
        return self.lstm(self.drop(self.encoder(ids)), state)


def make_model(a):
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(a.seed)
    words = vocabulary(documents(a.text), 1)
    model = LanguageModel(len(words), a.hidden, a.hidden)
    os.makedirs(a.out, exist_ok=True)
    save_file(model.state_dict(), f"{a.out}/model.safetensors")
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 1)])
    tokenizer.save(f"{a.out}/tokenizer.json")
    with open(f"{a.out}/config.json", "w", encoding="utf-8") as f:
        json.dump({"model_type": "txray-lstm", "vocab_size": len(words), "embedding_size": a.hidden,
                   "hidden_size": a.hidden, "num_layers": 1}, f)
    return {"vocabulary": len(words)}


@torch.no_grad()
def read(a):
    import polars as pl
    from safetensors.torch import load_file

    with open(f"{a.model}/config.json", encoding="utf-8") as f:
        c = json.load(f)
    model = LanguageModel(c["vocab_size"], c["embedding_size"], c["hidden_size"], c["num_layers"]).eval()
    model.load_state_dict(load_file(f"{a.model}/model.safetensors"))
    with open(f"{a.model}/tokenizer.json", encoding="utf-8") as f:
        words = json.load(f)["model"]["vocab"]
    docs = numbers(documents(a.text), words)
    docs.sort(key=len, reverse=True)
    start = time.perf_counter()
    features, neurons, values = [], [], []
    for k in range(0, len(docs), a.batch):
        rows = docs[k : k + a.batch]
        x = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
        mask = torch.zeros(len(rows), len(rows[0]), dtype=torch.bool)
        for r, row in enumerate(rows):
            x[r, : len(row)] = torch.tensor(row)
            mask[r, : len(row)] = True
        hidden, _ = model(x.t())
        value, neuron = hidden.max(dim=2)
        m = mask.t()
        features.append(x.t()[m])
        neurons.append(neuron[m])
        values.append(value[m])
    table = pl.DataFrame({"feature": torch.cat(features).numpy(), "neuron": torch.cat(neurons).numpy(),
                          "activation": torch.cat(values).double().numpy()})
    activation = pl.col("activation")
    table = (table.filter(activation > 0).group_by("neuron", "feature")
             .agg(pl.len().alias("count"), activation.sum().alias("mass"), activation.max().alias("max"))
             .sort("neuron", "feature"))
    seconds = time.perf_counter() - start
    return {"tokens": sum(map(len, docs)), "seconds": seconds, "alive": table["neuron"].n_unique(),
            "mass": table["mass"].sum()}


def train(a):
    torch.manual_seed(a.seed)
    docs = documents(a.text)
    words = vocabulary(docs, a.min_count)
    text = torch.tensor([i for doc in numbers(docs, words) for i in doc][: a.max_tokens])
    valid = torch.tensor([i for doc in numbers(documents(a.valid), words) for i in doc])
    model = LanguageModel(len(words), a.hidden, a.hidden)
    n = len(text) // a.batch
    data = text[: n * a.batch].view(a.batch, n).t().contiguous()
    state, seconds = None, 0.0
    for i in range(0, n - 1, a.bptt):
        steps = min(a.bptt, n - 1 - i)
        x, y = data[i : i + steps], data[i + 1 : i + 1 + steps].reshape(-1)
        start = time.perf_counter()
        hidden, state = model(x, state)
        state = tuple(s.detach() for s in state)
        logits = model.decoder(model.drop(hidden)).view(-1, len(words))
        loss = torch.nn.functional.cross_entropy(logits, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(p.grad, alpha=-a.rate)
        seconds += time.perf_counter() - start
    tokens = (n - 1) * a.batch
    return {"tokens": tokens, "seconds": seconds, "valid_loss": validate(model.eval(), valid), "vocabulary": len(words)}


@torch.no_grad()
def validate(model, text, width=35 * 20):
    state, total = None, 0.0
    for i in range(0, len(text) - 1, width):
        y = text[i + 1 : i + 1 + width]
        hidden, state = model(text[i : i + len(y)].unsqueeze(1), state)
        total += torch.nn.functional.cross_entropy(model.decoder(hidden.squeeze(1)), y, reduction="sum").item()
    return total / (len(text) - 1)


def sgemm(a):
    """The best of several widths: a product is faster with more columns, to a point."""
    weight, best = torch.randn(4 * a.hidden, a.hidden), 0.0
    for columns in (64, 128, 256, 512):
        h = torch.randn(a.hidden, columns)
        out = torch.empty(4 * a.hidden, columns)
        flops, times = 8 * a.hidden * a.hidden * columns, []
        rounds = max(3, int(1e10 / flops))
        for _ in range(4):
            start = time.perf_counter()
            for _ in range(rounds):
                torch.mm(weight, h, out=out)
            times.append((time.perf_counter() - start) / rounds)
        best = max(best, flops / min(times))
    return {"gflops": best / 1e9}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    arguments = {"model": (make_model, "text out hidden seed"), "read": (read, "model text batch"),
                 "train": (train, "text valid hidden seed min-count max-tokens rate batch bptt"), "sgemm": (sgemm, "hidden")}
    defaults = {"hidden": 200, "seed": 1111, "min-count": 1, "max-tokens": 100_000, "rate": 20.0, "batch": 20, "bptt": 35}
    for verb, (function, names) in arguments.items():
        p = verbs.add_parser(verb)
        p.set_defaults(run=function)
        for name in names.split():
            default = 128 if (verb, name) == ("read", "batch") else defaults.get(name)
            p.add_argument(f"--{name}", default=default, required=default is None, type=type(default) if default else str)
    a = parser.parse_args()
    result = a.run(a)
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
