#!/usr/bin/env python3
"""Times an epoch of a classifier of IMDB reviews against PyTorch, the two in turn, on the same ids, and prints the ratio.

    cargo build --release -p txray-lstm --example labels
    python benches/classify.py --data DIR [--neurons 200] [--reviews 25000] [--batch 32] [--pooling last] [--rounds 3] [--frozen]

DIR holds `imdb/aclImdb.tar.gz`. Words are split off by a pattern and lowered; those seen less than five times are `<unk>`. Both train
an embedding, one LSTM layer and a linear layer with Adam, dropout 0.2 and gradients cut to a norm of 0.25. PyTorch does so as people
do who care for its speed: batches of reviews of like length, packed, so that it too computes nothing over padding, and denormal numbers
flushed to zero. With `--frozen` only
the linear layer is trained; PyTorch then reads each review under `no_grad`. A ratio above 1 says that txray is faster.
"""
import argparse
import collections
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

POOL = 64  # batches whose reviews are sorted by length together


def reviews(path, most):
    """`[(words, label)]` of the training reviews, as many of either label."""
    found = collections.defaultdict(list)
    with tarfile.open(path) as archive:
        for member in archive:
            parts = member.name.split("/")
            if len(parts) == 4 and parts[1] == "train" and parts[2] in ("neg", "pos") and len(found[parts[2]]) < most // 2:
                text = archive.extractfile(member).read().decode().replace("<br />", " ").lower()
                found[parts[2]].append(re.findall(r"\w+|[^\w\s]", text))
    return [(words, label) for label, name in enumerate(("neg", "pos")) for words in found[name]]


def numbers(found):
    counts = collections.Counter(word for words, _ in found for word in words)
    known = {word: number + 1 for number, word in enumerate(word for word, count in counts.most_common() if count >= 5)}
    return [[known.get(word, 0) for word in words] for words, _ in found], [label for _, label in found], len(known) + 1


def write(folder, ids, labels):
    offsets = [0]
    for document in ids:
        offsets.append(offsets[-1] + len(document))
    for name, form, values in (("ids.u32", "I", [number for document in ids for number in document]),
                               ("targets.u32", "I", labels), ("offsets.u64", "Q", offsets)):
        with open(f"{folder}/{name}", "wb") as f:
            f.write(struct.pack(f"<{len(values)}{form}", *values))


def batches(ids, size):
    order = list(range(len(ids)))
    random.shuffle(order)
    pools = [sorted(order[k : k + POOL * size], key=lambda d: -len(ids[d])) for k in range(0, len(order), POOL * size)]
    cut = [pool[k : k + size] for pool in pools for k in range(0, len(pool), size)]
    random.shuffle(cut)
    return cut


def torch_epoch(a):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

    with open(a.torch, encoding="utf-8") as f:
        ids, labels, vocabulary = json.load(f)
    torch.manual_seed(1)
    random.seed(1)
    # Gradients shrink on their way back through a long review; without this PyTorch then takes some ten times as long.
    torch.set_flush_denormal(True)
    texts, labels = [torch.tensor(document) for document in ids], torch.tensor(labels)
    embedding = torch.nn.Embedding(vocabulary, a.neurons)
    torch.nn.init.uniform_(embedding.weight, -0.1, 0.1)
    lstm, drop = torch.nn.LSTM(a.neurons, a.neurons), torch.nn.Dropout(0.2)
    head = torch.nn.Linear(a.neurons * (3 if a.pooling == "concat" else 1), 2)
    modules = [head] if a.frozen else [embedding, lstm, head]
    parameters = [p for module in modules for p in module.parameters()]
    update = torch.optim.Adam(parameters)

    def features(batch):
        lengths = torch.tensor([len(texts[d]) for d in batch])
        x = embedding(pad_sequence([texts[d] for d in batch]))
        outputs, (last, _) = lstm(pack_padded_sequence(x if a.frozen else drop(x), lengths))
        if a.pooling == "last":
            return last[-1]
        outputs, _ = pad_packed_sequence(outputs)
        inside = (torch.arange(outputs.shape[0])[:, None] < lengths[None]).unsqueeze(2)
        mean, most = outputs.sum(0) / lengths[:, None], outputs.masked_fill(~inside, -2.0).max(0).values
        return {"mean": mean, "max": most, "concat": torch.cat([last[-1], mean, most], 1)}[a.pooling]

    start, total = time.perf_counter(), 0.0
    for batch in batches(ids, a.batch):
        if a.frozen:
            with torch.no_grad():
                pooled = features(batch)
        else:
            pooled = features(batch)
        loss = torch.nn.functional.cross_entropy(head(drop(pooled)), labels[batch])
        update.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.25)
        update.step()
        total += loss.item() * len(batch)
    seconds = time.perf_counter() - start
    print(json.dumps({"tokens": sum(map(len, ids)), "seconds": seconds, "loss": total / len(ids)}))


def ran(arguments):
    return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TXRAY_DATA"))
    parser.add_argument("--labels", default="target/release/examples/labels", help="the example of txray-lstm, built")
    parser.add_argument("--neurons", type=int, default=200)
    parser.add_argument("--reviews", type=int, default=25_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pooling", default="last", choices=["last", "mean", "max", "concat"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frozen", action="store_true")
    parser.add_argument("--torch", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.torch:
        return torch_epoch(a)
    with tempfile.TemporaryDirectory() as folder:
        ids, labels, vocabulary = numbers(reviews(f"{a.data}/imdb/aclImdb.tar.gz", a.reviews))
        write(folder, ids, labels)
        with open(f"{folder}/ids.json", "w", encoding="utf-8") as f:
            json.dump([ids, labels, vocabulary], f)
        frozen = ["frozen"] if a.frozen else []
        ours = [a.labels, folder, str(a.neurons), str(vocabulary), str(a.batch), a.pooling, *frozen]
        theirs = [sys.executable, __file__, f"--torch={folder}/ids.json", f"--neurons={a.neurons}", f"--batch={a.batch}",
                  f"--pooling={a.pooling}", *(f"--{word}" for word in frozen)]
        pairs = [(ran(ours), ran(theirs)) for _ in range(a.rounds)]
    ratios = [t["seconds"] / o["seconds"] for o, t in pairs]
    rates = [statistics.median(r["tokens"] / r["seconds"] for r in results) for results in zip(*pairs)]
    losses = ", ".join(f"{o['loss']:.4f} / {t['loss']:.4f}" for o, t in pairs)
    print(f"{len(ids):,} reviews, {pairs[0][0]['tokens']:,} tokens, {a.neurons} neurons, {vocabulary:,} words, {a.pooling}"
          f"{', frozen' if a.frozen else ''}: ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
          f"txray {rates[0]:,.0f} tokens/s, PyTorch {rates[1]:,.0f}; losses of the epoch {losses}")


if __name__ == "__main__":
    main()
