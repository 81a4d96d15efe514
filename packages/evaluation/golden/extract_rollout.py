#!/usr/bin/env python3
"""Writes the arrays and figures of a post-training golden bundle that the tests of this package read.

usage: extract_rollout.py BUNDLE OUTPUT.json

BUNDLE is a directory that make_post.py wrote (torch, transformers, TRL). The output keeps the arrays of rollout, reward
model, DPO and PPO, without ids of prompts and without gradients, and the figures of manifest.json about them. Every f32
is written as the decimal number that reads back as the same value.
"""
import json
import struct
import sys

KEPT = {
    "rollout": [
        "completion_ids", "completion_mask", "entropy", "grpo_advantages", "kl", "logps", "old_logps", "reference_logps",
        "rewards", "rloo_advantages",
    ],
    "reward_model": ["attention_mask", "scores"],
    "dpo": ["completion_mask", "logps", "reference_logps"],
    "ppo": ["advantages", "old_values", "returns", "values"],
}
FIGURES = ["rollout", "reward", "dpo", "rloo", "grpo", "ppo", "tokens", "tolerances"]


def arrays(path, names):
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    out = {}
    for name in names:
        entry = header[name]
        begin, end = entry["data_offsets"]
        letter = {"F32": "f", "I32": "i"}[entry["dtype"]]
        values = struct.unpack(f"<{(end - begin) // 4}{letter}", data[start + begin : start + end])
        out[name] = {"shape": entry["shape"], "values": list(values)}
    return out


def main():
    bundle, output = sys.argv[1:]
    with open(f"{bundle}/manifest.json") as file:
        manifest = json.load(file)
    document = {
        "figures": {name: {k: v for k, v in manifest[name].items() if k != "step_losses"} for name in FIGURES},
        **{name: arrays(f"{bundle}/{name}.safetensors", kept) for name, kept in KEPT.items()},
    }
    with open(output, "w") as file:
        json.dump(document, file, separators=(",", ":"))
        file.write("\n")


main()
