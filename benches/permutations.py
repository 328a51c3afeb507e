#!/usr/bin/env python3
"""Times permutation tests of `txray` and of a NumPy program on the same observations, in turn, and prints a table.

    cargo build --release
    pip install numpy polars
    python benches/permutations.py A/observations.parquet B/observations.parquet --peer PEER.py [--design pool|swap] [--unit group|doc]
                                   [--permutations 1000] [--rounds 5] [--threads 2]

PEER.py is called as `PEER.py A B --design D --unit U --permutations N --seed S` and prints one JSON object with `ms_per_permutation`. `txray` reads the tables as sources; a permutation takes what a comparison of N of them takes longer than one of N / 10,
by the `seconds` of its step in the manifest, divided by how many more these are; both are printed, so that a cost that does not grow with the
permutations would be seen. Medians over the rounds, with the least and the greatest ratio.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import polars

parser = argparse.ArgumentParser()
parser.add_argument("a")
parser.add_argument("b")
parser.add_argument("--peer", required=True)
parser.add_argument("--txray", default="target/release/txray")
parser.add_argument("--design", default="pool", choices=["pool", "swap"])
parser.add_argument("--unit", default="group", choices=["group", "doc"])
parser.add_argument("--permutations", type=int, default=1000)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()


def config(permutations, seed):
    unit = {"group": "group", "doc": "document"}[options.unit]
    paths = [str(pathlib.Path(path).resolve()) for path in (options.a, options.b)]
    stages = "".join(
        f"[stage.{name}]\nsource = {{ kind = \"observations\", path = {json.dumps(path)}, width = {width} }}\n"
        for name, path in zip("ab", paths)
    )
    return (
        f"seed = {seed}\n{stages}[comparison.x]\nfrom = \"a\"\nto = \"b\"\nlayers = [\"token\"]\n"
        f"significance = {{ permutations = {permutations}, most = {permutations}, unit = \"{unit}\", design = \"{options.design}\" }}\n"
    )


def ours(folder, permutations, seed):
    file = folder / "pipeline.toml"
    file.write_text(config(permutations, seed))
    out = folder / "out"
    command = [options.txray, "run", file, "--out", out, "--store", folder / "store", "--threads", str(options.threads), "-q"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    steps = json.loads((out / "manifest.json").read_text())["steps"]
    return next(step["seconds"] for step in steps if step["name"] == "comparison.x")


def theirs(seed):
    command = [sys.executable, options.peer, options.a, options.b, "--design", options.design, "--unit", options.unit]
    command += ["--permutations", str(max(20, options.permutations // 10)), "--seed", str(seed)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told["ms_per_permutation"]


width = 1 + max(polars.scan_parquet(path).select(polars.col("neuron").max()).collect().item() for path in (options.a, options.b))
ratios, mine, others, wholes = [], [], [], []
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    few, many = max(1, options.permutations // 10), options.permutations
    ours(folder, few, 0)
    for round in range(1, options.rounds + 1):
        other = theirs(round)
        short, long = ours(folder, few, round), ours(folder, many, round)
        own = 1000 * (long - short) / (many - few)
        ratios.append(other / own)
        mine.append(own)
        others.append(other)
        wholes.append((short, long))
        print(f"round {round}: txray {own:.3f} ms a permutation, peer {other:.3f}, ratio {other / own:.1f}", file=sys.stderr)

median = statistics.median
print("| design | txray, ms a permutation | peer | ratio | %d permutations | %d |" % (few, many))
print("|---|---|---|---|---|---|")
print(
    f"| {options.design} | {median(mine):.3f} | {median(others):.3f} | {median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) | "
    f"{median([short for short, _ in wholes]):.2f} s | {median([long for _, long in wholes]):.2f} s |"
)
