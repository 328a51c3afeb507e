#!/usr/bin/env python3
"""Reference values from PyTorch for tests/pipelines/pytorch.rs: what two LSTMs prefer in WikiText-2, neuron by neuron.

Everything is computed here, one document at a time with `torch.nn.LSTM`, from the model directories alone:

    pip install torch numpy safetensors tokenizers
    python pytorch.py MODELS WIKITEXT-2 > pytorch.json

MODELS holds `wikitext2-lstm100-early` and `wikitext2-lstm100-late`, WIKITEXT-2 `valid.txt` and `test.txt`. The weights
and the texts are not in the repository. Made with PyTorch 2.15 on x86-64.

At each token (`<eos>` behind each document included) the most active neuron is observed; what is not > 0 is left out.
`stages` gives for each stage the tokens, and for each neuron its observations, the sum of their activations and the
number of distinct tokens; `comparisons` the Hellinger distance of each neuron alive in both, between distributions of mean
activations. Columns are lists over the neurons 0..99.
"""
import json
import sys
from collections import defaultdict

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

STAGES = {
    "early": ("wikitext2-lstm100-early", "valid.txt"),
    "late": ("wikitext2-lstm100-late", "valid.txt"),
    "test": ("wikitext2-lstm100-late", "test.txt"),
}
COMPARISONS = {"learning": ("early", "late"), "text": ("late", "test")}


@torch.no_grad()
def read(model, text):
    """Tokens, and for each neuron {token id: [count, mass]}."""
    config = json.load(open(f"{model}/config.json"))
    weights = load_file(f"{model}/model.safetensors")
    lstm = torch.nn.LSTM(config["embedding_size"], config["hidden_size"], config["num_layers"])
    lstm.load_state_dict({k.removeprefix("lstm."): v for k, v in weights.items() if k.startswith("lstm.")})
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    lines = [line.strip() for line in open(text, encoding="utf-8")]
    tokens, preferences = 0, [defaultdict(lambda: [0, 0.0]) for _ in range(config["hidden_size"])]
    for encoding in tokenizer.encode_batch([line for line in lines if line]):
        hidden, _ = lstm(weights["encoder.weight"][encoding.ids])
        values, neurons = hidden.max(dim=1)
        tokens += len(encoding.ids)
        for token, neuron, value in zip(encoding.ids, neurons.tolist(), values.double().tolist()):
            if value > 0:
                entry = preferences[neuron][token]
                entry[0] += 1
                entry[1] += value
    return tokens, preferences


def hellinger(a, b):
    if not a or not b:
        return None
    p, q = ({token: mass / count for token, (count, mass) in side.items()} for side in (a, b))
    features = sorted(p.keys() | q.keys())
    p, q = (np.array([side.get(feature, 0.0) for feature in features]) for side in (p, q))
    return round(float(np.linalg.norm(np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) / np.sqrt(2)), 9)


def main():
    models, texts = sys.argv[1:]
    read_stages = {name: read(f"{models}/{model}", f"{texts}/{text}") for name, (model, text) in STAGES.items()}
    stages = {
        name: {
            "tokens": tokens,
            "count": [sum(count for count, _ in neuron.values()) for neuron in preferences],
            "mass": [round(sum(mass for _, mass in neuron.values()), 6) for neuron in preferences],
            "length": [len(neuron) for neuron in preferences],
        }
        for name, (tokens, preferences) in read_stages.items()
    }
    comparisons = {
        name: [hellinger(a, b) for a, b in zip(read_stages[start][1], read_stages[end][1])]
        for name, (start, end) in COMPARISONS.items()
    }
    print(json.dumps({"stages": stages, "comparisons": comparisons}))


if __name__ == "__main__":
    main()
