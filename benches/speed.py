#!/usr/bin/env python3
"""Times txray against PyTorch (`pytorch.py`), the two in turn, and prints the ratios: median, least, greatest.

    cargo build --release -p txray
    pip install torch numpy polars safetensors tokenizers
    python benches/speed.py --data DIR [--read 200,600,1500:300] [--one 100:60000] [--train 200:1,100:10] [--rounds 5] [--readme README.md]
    python benches/speed.py --data DIR --read "" --one "" --train 100:10 --tokens 1000000 --rounds 3 --warm 0     losses of 3 seeds

DIR holds `wikitext-2/{train,valid,test}.txt`. Reading is over the validation and the test text (of `1500:300` the first
300 lines of each), with random weights over all words of the training text; `--one` reads the beginning of the validation
text as one document, both on one thread. Training is `neurons:min_count`, so many tokens, the same data in the same order, ending with the same validation text. A ratio above 1 says that txray is faster.
With --readme the table between the marks in that file is replaced.
"""
import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MARKS = ("<!-- speed -->\n", "<!-- /speed -->")


def command(arguments, threads=None):
    """Runs to the end; gives what it printed."""
    limits = {f"{of}_THREADS": str(threads) for of in ("OMP_NUM", "MKL_NUM", "POLARS_MAX")} if threads else {}
    return subprocess.run(arguments, check=True, capture_output=True, text=True, env={**os.environ, **limits}).stdout


def torch(verb, threads=None, **options):
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return json.loads(command([sys.executable, f"{HERE}/pytorch.py", verb, *arguments], threads))


def txray(binary, pipeline, kind, threads=None):
    """Runs a pipeline in a place of its own. Gives the step of that kind, and the peak of the process's memory."""
    with tempfile.TemporaryDirectory() as place:
        with open(f"{place}/pipeline.toml", "w", encoding="utf-8") as f:
            f.write(pipeline)
        peak = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)")
        out = command([sys.executable, "-c", peak, binary, "run", f"{place}/pipeline.toml", "--out", f"{place}/out",
                       "--store", f"{place}/store", *(["--threads", str(threads)] if threads else [])])
        with open(f"{place}/out/manifest.json", encoding="utf-8") as f:
            step = next(s for s in json.load(f)["steps"] if s["kind"] == kind)
        return {**step, "peak_bytes": int(out)}


def cut(a, splits, lines, to):
    """Writes so many lines of each split to a file; all of them where `lines` is None."""
    with open(to, "w", encoding="utf-8") as f:
        for split in splits:
            with open(f"{a.data}/wikitext-2/{split}.txt", encoding="utf-8") as text:
                f.writelines(itertools.islice(text, lines))


def path(text):
    return json.dumps(os.path.abspath(text))


def alternate(a, ours, theirs):
    """Some uncounted rounds, then those that count, of both in turn."""
    pairs = [(ours(), theirs()) for _ in range(a.warm + a.rounds)][a.warm:]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def spread(values, form="{:.2f}"):
    values = [statistics.median(values), min(values), max(values)]
    return "{} ({} to {})".format(*(form.format(v) for v in values))


def rate(results):
    return spread([r["tokens"] / r["seconds"] for r in results], "{:,.0f}")


def mebibytes(values):
    return f"{max(values) / 2**20:,.0f} MiB"


def read(a, place, hidden, lines=None):
    model, text = f"{place}/model", f"{place}/text.txt"
    cut(a, ("valid", "test"), lines, text)
    vocabulary = torch("model", text=f"{a.data}/wikitext-2/train.txt", out=model, hidden=hidden)["vocabulary"]
    pipeline = (f"[corpus.text]\nkind = 'text'\nvalid = {path(text)}\n[model.m]\npath = {path(model)}\n"
                f"[stage.s]\nmodel = 'm'\ncorpus = 'text.valid'\n")
    rates = []

    def theirs():
        rates.append(torch("sgemm", hidden=hidden)["gflops"])
        return torch("read", model=model, text=text)

    ours, torchs = alternate(a, lambda: txray(a.txray, pipeline, "stage"), theirs)
    for o, t in zip(ours, torchs):
        if o["tokens"] != t["tokens"] or abs(o["mass"] - t["mass"]) > 1e-4 * t["mass"]:
            sys.exit(f"the two do not agree: {o} and {t}")
    work = 8e-9 * hidden * hidden
    shares = [work * o["tokens"] / o["seconds"] / r for o, r in zip(ours, rates[a.warm:])]
    walls = [(o["seconds"] + o["tokenize_seconds"] + o["write_seconds"]) / o["seconds"] for o in ours]
    ratios = [t["seconds"] / o["seconds"] for o, t in zip(ours, torchs)]
    distinct = len(set(open(text, encoding="utf-8").read().split())) + 1
    weights = os.path.getsize(f"{model}/model.safetensors")
    print(f"read {hidden}: ratio {spread(ratios)}; txray {rate(ours)} tokens/s, PyTorch {rate(torchs)}; "
          f"share of sgemm {spread(shares)} of {spread(rates[a.warm:], '{:.0f}')} GFLOP/s; "
          f"with tokenizing and writing {spread(walls)} of its seconds; {ours[0]['rows']:,} rows of preferences; "
          f"peak {mebibytes([o['peak_bytes'] for o in ours])}: model {mebibytes([weights])}, "
          f"its table of {distinct:,} tokens {mebibytes([distinct * 16 * hidden])} "
          f"(PyTorch {mebibytes([t['peak_bytes'] for t in torchs])})", flush=True)
    return (f"read {ours[0]['tokens']:,} tokens, {hidden} neurons, {vocabulary:,} words", ratios, ours, torchs)


def one(a, place, hidden, tokens):
    """The beginning of the validation text as one document, on one thread."""
    model, text = f"{place}/model", f"{place}/text.txt"
    cut(a, ["valid"], None, text)
    with open(text, encoding="utf-8") as f:
        words = f.read().split()[: tokens - 1]
    with open(text, "w", encoding="utf-8") as f:
        f.write(" ".join(words) + "\n")
    torch("model", text=text, out=model, hidden=hidden)
    pipeline = (f"[corpus.text]\nkind = 'text'\nvalid = {path(text)}\n[model.m]\npath = {path(model)}\n"
                f"[stage.s]\nmodel = 'm'\ncorpus = 'text.valid'\n")
    ours, torchs = alternate(a, lambda: txray(a.txray, pipeline, "stage", 1),
                             lambda: torch("read", threads=1, model=model, text=text))
    ratios = [t["seconds"] / o["seconds"] for o, t in zip(ours, torchs)]
    weights = [16e-9 * hidden * hidden * o["tokens"] / o["seconds"] for o in ours]
    print(f"one document, {hidden}: ratio {spread(ratios)}; txray {rate(ours)} tokens/s, PyTorch {rate(torchs)}; recurrent "
          f"weights of {16e-3 * hidden * hidden:,.0f} kB a token, {spread(weights, '{:.0f}')} GB/s", flush=True)
    return (f"read one document of {ours[0]['tokens']:,} tokens, {hidden} neurons, one thread", ratios, ours, torchs)


def train(a, place, hidden, min_count):
    text, valid = f"{a.data}/wikitext-2/train.txt", f"{place}/valid.txt"
    cut(a, ["valid"], a.valid_lines, valid)
    pipeline = (f"seed = {{seed}}\n[corpus.text]\nkind = 'text'\ntrain = {path(text)}\nvalid = {path(valid)}\n"
                f"[model.m]\nkind = 'lstm'\nembedding = {hidden}\nhidden = {hidden}\n"
                f"vocabulary = {{{{ min_count = {min_count} }}}}\ntask = {{{{ kind = 'language-model', corpus = 'text' }}}}\n"
                f"train = {{{{ epochs = 1, max_tokens = {a.tokens}, state = 'carry' }}}}\n")
    seeds, theirs_seeds = itertools.count(a.seed), itertools.count(a.seed)
    ours, torchs = alternate(
        a, lambda: txray(a.txray, pipeline.format(seed=next(seeds)), "model"),
        lambda: torch("train", text=text, valid=valid, hidden=hidden, min_count=min_count, max_tokens=a.tokens,
                      seed=next(theirs_seeds)))
    losses = [(math.log(o["valid_perplexity"]), t["valid_loss"]) for o, t in zip(ours, torchs)]
    apart = statistics.mean(o for o, _ in losses) / statistics.mean(t for _, t in losses) - 1
    ratios = [t["seconds"] / o["seconds"] for o, t in zip(ours, torchs)]
    print(f"train {hidden}, {torchs[0]['vocabulary']:,} words: ratio {spread(ratios)}; txray {rate(ours)} tokens/s, "
          f"PyTorch {rate(torchs)}; validation losses "
          + ", ".join(f"{o:.4f} / {t:.4f}" for o, t in losses)
          + f" (their means {100 * apart:+.2f} %); peak {mebibytes([o['peak_bytes'] for o in ours])} "
          f"(PyTorch {mebibytes([t['peak_bytes'] for t in torchs])})", flush=True)
    name = f"train on {ours[0]['tokens']:,} tokens, {hidden} neurons, {torchs[0]['vocabulary']:,} words"
    return (name, ratios, ours, torchs)


def table(rows):
    lines = ["| | ratio | txray, tokens/s | PyTorch, tokens/s | peak memory, txray / PyTorch |", "|---|---|---|---|---|"]
    for name, ratios, ours, theirs in rows:
        peaks = " / ".join(mebibytes([r["peak_bytes"] for r in results]) for results in (ours, theirs))
        medians = [f"{statistics.median([r['tokens'] / r['seconds'] for r in results]):,.0f}" for results in (ours, theirs)]
        lines.append(f"| {name} | {spread(ratios)} | {medians[0]} | {medians[1]} | {peaks} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TXRAY_DATA"), required="TXRAY_DATA" not in os.environ)
    parser.add_argument("--txray", default="target/release/txray")
    parser.add_argument("--read", default="200,600,1500:300", help="neurons[:lines]; empty for none")
    parser.add_argument("--one", default="100:60000,200:60000,600:10000", help="neurons:tokens; empty for none")
    parser.add_argument("--train", default="200:1,100:10", help="neurons:min_count; empty for none")
    parser.add_argument("--tokens", type=int, default=100_000, help="tokens of a training")
    parser.add_argument("--valid-lines", type=int, help="of the text to validate on, the first so many lines")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1, help="rounds before those, uncounted")
    parser.add_argument("--seed", type=int, default=1111, help="of the first training; each later one takes the next")
    parser.add_argument("--readme", help="the file whose table is replaced")
    a = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for measure, items in ((read, a.read), (one, a.one), (train, a.train)):
            rows += [measure(a, place, *map(int, item.split(":"))) for item in items.split(",") if item]
    print(table(rows))
    if a.readme:
        with open(a.readme, encoding="utf-8") as f:
            before, rest = f.read().split(MARKS[0])
        with open(a.readme, "w", encoding="utf-8") as f:
            f.write(before + MARKS[0] + "\n" + table(rows) + "\n" + MARKS[1] + rest.split(MARKS[1])[1])


if __name__ == "__main__":
    main()
