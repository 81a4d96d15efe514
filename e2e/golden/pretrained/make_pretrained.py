"""Makes the golden run of a fine-tuning job: a Gemma that transformers trained, its tokenizer, and the loss of Lapidary's first batch.

Usage, after `npm start` (torch and transformers from PyPI; versions are in first-loss.json):
    python e2e/golden/pretrained/make_pretrained.py
The corpus is the second text of e2e/cases/43-tokenizer-of-init. `batch.mjs` prints the rows that the job trains on first;
transformers computes their loss in float64.
"""
import json, random, subprocess
from pathlib import Path

import tokenizers, torch, transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast

here = Path(__file__).parent
texts = here.parent.parent / "cases" / "43-tokenizer-of-init"
vocab = 512
controls = ["<pad>", "<eos>", "<bos>", "<unk>"]
byte_pieces = [f"<0x{i:02X}>" for i in range(256)]


def make_tokenizer(text):
    """Gemma's form: BPE with byte fallback, and blanks as U+2581. Byte pieces are ordinary pieces after the merged ones."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    merged = vocab - len(byte_pieces)
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=merged, special_tokens=controls, show_progress=False))
    file = json.loads(tokenizer.to_str())
    assert len(file["model"]["vocab"]) == merged
    file["model"]["vocab"].update({piece: merged + i for i, piece in enumerate(byte_pieces)})
    file["post_processor"] = json.loads(
        processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)]).__getstate__()
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(file)), bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


torch.manual_seed(0)
random.seed(0)
text = (texts / "second.txt").read_text()
tokenizer = make_tokenizer(text)
config = GemmaConfig(
    vocab_size=vocab, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
    head_dim=8, max_position_embeddings=64, hidden_activation="gelu_pytorch_tanh",
    bos_token_id=2, eos_token_id=1, pad_token_id=0, tie_word_embeddings=True,
)  # fmt: skip
model = GemmaForCausalLM(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
ids = torch.tensor(tokenizer.encode(text))
for step in range(200):
    starts = [random.randrange(len(ids) - 32) for _ in range(32)]
    rows = torch.stack([ids[at : at + 32] for at in starts])
    loss = model(input_ids=rows, labels=rows).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.save_pretrained(here)
tokenizer.save_pretrained(here)

batch = json.loads(subprocess.run(["node", here / "batch.mjs"], check=True, capture_output=True, text=True).stdout)
shape = (batch["rows"], batch["seq"])
tokens, targets = (torch.tensor(batch[name]).view(shape) for name in ("tokens", "targets"))
mask = torch.tensor(batch["mask"], dtype=torch.float64).view(shape)
with torch.no_grad():
    log_p = torch.log_softmax(model.double().eval()(input_ids=tokens).logits, -1).gather(-1, targets[..., None])[..., 0]
golden = {
    "versions": {each.__name__: each.__version__ for each in (torch, transformers, tokenizers)},
    "loss": float(-(log_p * mask).sum() / mask.sum()),
    "tokens": tokens.tolist(),
}
(here / "first-loss.json").write_text(json.dumps(golden) + "\n")
print(f"training loss {loss.item():.4f}, first loss of the job {golden['loss']:.9f}, loss without training {torch.tensor(float(vocab)).log():.4f}")
