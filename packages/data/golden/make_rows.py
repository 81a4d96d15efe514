#!/usr/bin/env python3
"""Writes golden/post/rows-NAME.json: dialogues, pairs and prompts of a post-training bundle, and the arrays that the trainers of TRL got for them.
usage: make_rows.py BUNDLE NAME     BUNDLE is a directory with sft.safetensors, dpo.safetensors, reward_model.safetensors and generation.safetensors"""
import json, os, struct, sys

PAD, BOS, FIRST_BYTE, START_OF_TURN, END_OF_TURN = 0, 2, 4, 260, 261

def arrays(path):
    """The i32 arrays of a safetensors file as lists of rows."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__" or entry["dtype"] != "I32":
            continue
        start, end = entry["data_offsets"]
        values = struct.unpack(f"<{(end - start) // 4}i", data[8 + size + start:8 + size + end])
        width = entry["shape"][-1]
        found[name] = list(values) if len(entry["shape"]) == 1 else [list(values[i:i + width]) for i in range(0, len(values), width)]
    return found

def turns(ids):
    """The messages of a row. Its texts have no control tokens and no white space at their ends."""
    text = "".join({BOS: "", START_OF_TURN: "\x01", END_OF_TURN: "\x02"}.get(i) or (chr(i - FIRST_BYTE) if i not in (PAD, BOS) else "") for i in ids)
    parts = [part.split("\x02")[0].split("\n", 1) for part in text.split("\x01")[1:]]
    return [{"role": {"model": "assistant"}.get(role, role), "content": content} for role, content in parts if content != "" or role == "user"]

def main(bundle, name):
    sft, dpo, reward, generation = (arrays(os.path.join(bundle, f"{f}.safetensors")) for f in ("sft", "dpo", "reward_model", "generation"))
    pairs = len(dpo["input_ids"]) // 2
    rows = {
        "sft": {"messages": [turns(ids) for ids in sft["input_ids"]],
                **{key: sft[key] for key in ("input_ids", "labels", "packed_input_ids", "packed_segment_ids", "packed_labels")}},
        "preference": {"chosen": [turns(ids) for ids in dpo["input_ids"][:pairs]], "rejected": [turns(ids) for ids in dpo["input_ids"][pairs:]],
                       "input_ids": dpo["input_ids"], "completion_mask": dpo["completion_mask"], "last": reward["last"]},
        "prompts": {"messages": [turns(ids) for ids in generation["prompt_ids"]],
                    "prompt_ids": generation["prompt_ids"], "prompt_mask": generation["prompt_mask"]},
    }
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "post", f"rows-{name}.json")
    with open(out, "w", encoding="utf-8") as file:
        file.write(json.dumps(rows, separators=(",", ":")).replace("],[", "],\n[") + "\n")

main(*sys.argv[1:])
