"""The side of PyTorch in `npm run bench -- --case generate`: `generate` of transformers with a cache, in f32, of the same Gemma.

A process that runs generations on command, as bench_jax.py runs steps:

    READY {}                    after the first generation
    STEPS n  →  STEPS {...}     n generations: seconds and processor seconds of each, and the peak of memory
"""
import argparse
import json
import resource
import sys
import time

import torch
from transformers import GemmaConfig, GemmaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--shape", type=json.loads, required=True, help="V, D, L, N, K, H, F and T, as in bench_jax.py")
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--prompt", type=int, required=True)
parser.add_argument("--new", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()
shape = options.shape

torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = GemmaForCausalLM(
    GemmaConfig(
        vocab_size=shape["V"],
        hidden_size=shape["D"],
        num_hidden_layers=shape["L"],
        num_attention_heads=shape["N"],
        num_key_value_heads=shape["K"],
        head_dim=shape["H"],
        intermediate_size=shape["F"],
        max_position_embeddings=shape["T"],
        attn_implementation="sdpa",
    )
).float()
model.eval()
prompt = torch.randint(3, shape["V"], (options.rows, options.prompt))


def generate() -> None:
    with torch.no_grad():
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=options.new,
            min_new_tokens=options.new,
            do_sample=False,
        )


generate()
print("READY {}", flush=True)
for line in sys.stdin:
    seconds, cpu_s = [], []
    for _ in range(int(line.split()[1])):
        begin, cpu = time.perf_counter(), time.process_time()
        generate()
        seconds.append(time.perf_counter() - begin)
        cpu_s.append(time.process_time() - cpu)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("STEPS " + json.dumps({"seconds": seconds, "cpu_s": cpu_s, "rss_peak_mb": peak_mb}), flush=True)
