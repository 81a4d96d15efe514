"""The side of PyTorch in `npm run bench`: the same Gemma of transformers, in f32, eager, with fused attention (SDPA).

    bench_torch.py step --shape '{"V":512,"D":64,"L":2,"N":16,"K":16,"H":16,"F":256,"T":32}' --rows 16 --threads 2
    bench_torch.py generate --shape … --rows 16 --threads 2 --prompt 16 --new 128

`step` is one optimizer step: loss, gradients and fused AdamW, as bench_jax.py does it. `generate` is one generation with a cache.
A process that runs on command, as bench_jax.py runs steps:

    READY {}                    after the first step or generation
    STEPS n  →  STEPS {...}     n of them: seconds and processor seconds of each, and the peak of memory
"""
import argparse
import json
import resource
import sys
import time

import torch
from transformers import GemmaConfig, GemmaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["step", "generate"])
parser.add_argument("--shape", type=json.loads, required=True, help="V, D, L, N, K, H, F and T, as in bench_jax.py")
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--prompt", type=int, help="tokens of a prompt")
parser.add_argument("--new", type=int, help="tokens that a generation adds")
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


def training():
    """Returns a function that runs one step on always the same random tokens, and its loss."""
    model.train()
    # The decay is applied to every parameter, as in bench_jax.py.
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = torch.randint(3, shape["V"], (options.rows, shape["T"]))

    def step() -> float:
        # transformers shifts the labels by one position.
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def generation():
    """Returns a function that runs one generation of all rows."""
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

    return generate


run = training() if options.what == "step" else generation()
losses = [run()]
print("READY {}", flush=True)
for line in sys.stdin:
    seconds, cpu_s = [], []
    for _ in range(int(line.split()[1])):
        begin, cpu = time.perf_counter(), time.process_time()
        losses.append(run())
        seconds.append(time.perf_counter() - begin)
        cpu_s.append(time.process_time() - cpu)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = {"seconds": seconds, "cpu_s": cpu_s, "rss_peak_mb": peak_mb, "losses": [losses[0], losses[-1]]}
    print("STEPS " + json.dumps(report), flush=True)
