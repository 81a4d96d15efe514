"""Writes sentencepiece/: small models with many settings of SentencePiece, and its results for about 500 texts and 500 lists of ids with each.

    pip install sentencepiece==0.2.3 protobuf
    python3 packages/tokenizer/golden/make_sentencepiece.py

The models are trained on the first lines of e2e/golden/data/tokenizer/corpus.txt. cases.json has the texts once, the ids of the first texts of each
model, a digest of the ids of all texts, and the lists of ids with their texts.
"""

import hashlib
import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

HERE = Path(__file__).parent
OUT = HERE / "sentencepiece"
DATA = HERE.parents[2] / "e2e/golden/data/tokenizer"
WHOLE = 40

RULES = "FF21\t41\nFF22\t42 42\n3000\t20\n41 308\t61\n200B\t\n78 79\t79 78\n78 79 7A\t7A\n"
MODELS = {
    "unigram-nmt-nfkc": dict(model_type="unigram"),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols=["<sep>", "\n", "\t", "  x"], vocab_size=600),
    "unigram-suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True, remove_extra_whitespaces=False, normalization_rule_name="identity"),
    "unigram-unused": dict(model_type="unigram", normalization_rule_name="identity", bos_id=-1, pad_id=0, eos_id=1, unk_id=2, unk_surface="<?>"),
    "bpe-rules": dict(model_type="bpe", character_coverage=0.98, rules=RULES),
    "bpe-bytes": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", vocab_size=600),
    "bpe-suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, rules=RULES),
    "bpe-across-words": dict(model_type="bpe", split_by_whitespace=False, split_by_unicode_script=False, split_by_number=False, add_dummy_prefix=False, normalization_rule_name="identity", user_defined_symbols=["a  b", "<s2>", "the"]),
    "bpe-spaces": dict(model_type="bpe", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, rules=RULES, control_symbols=["<c1>"], user_defined_symbols=["\u2581\u2581"]),
    "bpe-unused": dict(model_type="bpe", normalization_rule_name="identity", remove_extra_whitespaces=False),
    "bpe-bytes-unused": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=600),
}  # fmt: skip
PARTS = ["a  b", "the ", " ", "  ", "<sep>", "<s2>", "<c1>", "\n", "\t", "\u2581", "\u3000", "ｱ", "①", "Ａ", "Ｂ", "é", "e\u0301", "A\u0308", "xy", "z", "\x00", "\x01", "\u200b", "ﬁ", "x", "1", "the", "in g", "--", "\u00ad", "㌔", "İ", "ß", "한", "ᄒ", "ᅡ", "😀", "<unk>", "</s>", "<0x41>"]  # fmt: skip


def train(settings: dict, corpus: list[str]) -> bytes:
    settings = dict(settings)
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules = settings.pop("rules", None)
        if rules is not None:
            path = Path(folder) / "rules.tsv"
            path.write_text(rules, "utf8")
            settings["normalization_rule_tsv"] = str(path)
        options = dict(vocab_size=400, hard_vocab_limit=False, num_threads=1, minloglevel=2, max_sentence_length=1 << 20)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, **{**options, **settings})
    return model.getvalue()


def with_unused(model: bytes) -> bytes:
    """Every fifth piece merges, but is not an id."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    for i, piece in enumerate(proto.pieces):
        if piece.type == piece.NORMAL and i % 5 == 0:
            piece.type = piece.UNUSED
    return proto.SerializeToString()


def lists(p, r: random.Random) -> list[list[int]]:
    n = p.GetPieceSize()
    spaces = [i for i in range(n) if "\u2581" in p.IdToPiece(i)]
    some = [i for i in range(n) if p.IsByte(i)] or spaces
    found = [[r.randrange(n) for _ in range(r.randint(0, 20))] for _ in range(200)]
    found += [[r.choice([0, 1, 2, 3, 4, r.randrange(n)]) for _ in range(6)] for _ in range(100)]
    return found + [[r.choice(spaces) if r.random() < 0.5 else r.choice(some) for _ in range(r.randint(1, 8))] for _ in range(200)]


def digest(ids: list[int]) -> str:
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()[:8]


def main() -> None:
    OUT.mkdir(exist_ok=True)
    r = random.Random(7)
    corpus = [line for line in (DATA / "corpus.txt").read_text("utf8").split("\n") if line][:2000]
    texts = ["".join(r.choice(PARTS) for _ in range(r.randint(0, 14))) for _ in range(300)]
    texts += [json.loads(line)["text"] for line in (DATA / "encode.jsonl").read_text("utf8").splitlines()[:200]]
    expected = {}
    for name, settings in MODELS.items():
        model = train(settings, corpus)
        if name.endswith("-unused"):
            model = with_unused(model)
        (OUT / f"{name}.model").write_bytes(model)
        p = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = [p.EncodeAsIds(text) for text in texts]
        decoded = [[each, p.DecodeIds(each)] for each in lists(p, r)]
        expected[name] = {"ids": ids[:WHOLE], "digests": "".join(map(digest, ids)), "lists": decoded}
        print(name, p.GetPieceSize(), len(model))
    (OUT / "cases.json").write_text(json.dumps({"texts": texts, "expected": expected}, ensure_ascii=True, separators=(",", ":")), "utf8")


if __name__ == "__main__":
    main()
