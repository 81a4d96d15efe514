"""Writes tokenizers.json: tokenizers of many types, and the results of `tokenizers` of PyPI for about 460 texts with each.

    pip install tokenizers==0.23.3
    python3 packages/tokenizer/golden/make_tokenizers.py

A model that several tokenizers share is stored once. The file has the ids and decoded texts of the first texts, and a digest of both for all
texts, because it should be small. Texts with characters that Unicode added after version 14 are skipped, because Node's tables may lack them.
"""

import copy
import hashlib
import json
import random
import unicodedata
from pathlib import Path

from tokenizers import Regex, Tokenizer, models
from tokenizers import decoders as D
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as PP
from tokenizers import trainers

HERE = Path(__file__).parent
CASES = HERE.parents[2] / "e2e/cases/43-tokenizer-of-init"
WHOLE = 8


def assigned(rnd, low, high):
    while True:
        character = chr(rnd.randrange(low, high))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character



def texts():
    T = ["", " ", "  ", "\n", "\r\n", "\t", "a", "Hello world", " Hello world", "Hello  world ", "   leading", "trailing   ", "\n\n\n\n", "a\n\nb", "a\r\n\r\nb\r\nc",
    "tabs\t\tand\tmore\t", "Hello, y'all! How are you 😁 ?", "I'm you're WE'LL they'Ve he'D It'S", "don\u2019t", "1234567890", "3.14159 and 1,000,000", "x=1;y=2", "foo_bar__baz", "CamelCaseString",
    "👨\u200d👩\u200d👧\u200d👦 family", "🏳️\u200d🌈 flag", "e\u0301 vs \u00e9", "a\u0300\u0316\u0301", "ﬁ ligature ﬀ", "Ⅷ ① ½ ² ³", "ＡＢＣ full", "Å Å A\u030a", "\u1e9b\u0323", "각 \u1100\u1161\u11a8 한국어", "日本語のテキスト", "中文字符测试，标点。", "こんにちは世界", "مرحبا بالعالم", "السلام عليكم ١٢٣", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Привет, мир!", "ΑΣ ΟΔΥΣΣΕΥΣ Σ", "İstanbul ISTANBUL ı", "straße STRASSE ẞ", "שלום עולם", "Tiếng Việt", "ǅ ǆ Ǆ",
    "nul\x00inside", "\x00", "\x01\x02\x1f\x7f", "\u0085next\u0085line", "\ufeffbom", "a\ufeff b", "\u200b zero width", "nb\u00a0sp\u00a0 x", "\u2028 line sep \u2029", "\u3000ideographic\u3000space", "\u180e mongolian", "\ufffd", "\uffff \ufffe", "\U0010ffff", "\U000e0001 tag", "\ue000 private",
    "<bos>", "<eos>", "<s>", "</s>", "<pad>", "<unk>", "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>\n", "a<bos>b", " <bos> ", "x <eos> y", "<bos><bos>", "<s>hello</s>", "hello<s> world", "<0x0A>", "<0x41>", "▁", "▁▁", "a▁b", "▁hello", " ▁ ", "Ġ", "Ċ", "Ġhello", "<start_of_turn>user\nHi<end_of_turn>\n", "<mask>", "a <mask> b", "a<mask>b", "  <mask>  ", "\t<mask>\n", "extra extra1 nextra extras _extra extra", "extra", " extra ", "superextra extra-extra", "éextra extraé", "LOWER lower LoWeR", "café CAFÉ cafe\u0301 CAFE\u0301", "ﬁx", "FIX fix",
    "```python\ndef f(x):\n    return x  # comment\n```", "if (a && b || c) { return -1; }", "http://example.com/a?b=c&d=e#f", "user@example.com", "<html><body>&amp;</body></html>", "\\n \\t \\u0041", "a" * 200, "ab" * 150, " " * 100, "\n" * 70, "\t" * 33, "0" * 99, "!" * 65, "é" * 80, "😀" * 40, "the " * 60, "_" * 70, "日" * 70, "-" * 17 + "=" * 17,
    " \n \n ", "\n  \n", "a \n b", "a  \n  b", "line1\n    indented\n\tboth\n", "end with space ", "end with newline\n", "mixed \t \n \r \x0b \x0c x", "don't can't won't", "'s 's's", "''''", "\"quoted\" “smart” ‘q’", "a—b–c…", "©®™ €£¥", "∑∫√∞ α+β=γ", "½¼¾", "🇩🇪🇫🇷", "👍🏽", "\u0301alone", "a\u0301\u0301\u0301", "\u0e33\u0e32", "क्षत्रिय", "ப்", "\u1f71 \u03ac", "\u212b \u2126 \u212a", "\ufb1d \ufb2a", "\u0344", "\u2000\u2001", "\uac00\u11a8", "\u0958", "\u2adc",
    "Hello\u00adsoft", "\u202eRTL\u202c", "x\u0338", "[CLS] [SEP] [MASK]", "[INST] hi [/INST]", "##sub", "</w>", "word</w>", "<unused0> <unused1>", "<|begin_of_text|><|start_header_id|>", "a<|endoftext|>b <|endoftext|> c", "<|endoftext|", "|endoftext|>", "<bos", "bos>", "<b<bos>os>", "<BOS>", "<Bos>", "ℹ️ ♥︎", "\U0001d400\U0001d401 𝕳𝖊𝖑𝖑𝖔", "٣٤ ४५ ๑๒ Ⅻ 〇", "x²y³", "a1b2c3", "v1.2.3-beta.4", "12:34:56", "$1,234.56", "100%", "C++ C# .NET", "naïve façade", "œuvre Æsir", "ŉ ǰ ΐ", "ß", "K", "ſ", "ſt It'ſ", "AB\u0345", "ı̇"]
    rnd = random.Random(7)
    pool = list("abcdefghijklmnopqrstuvwxyz") * 2 + list("ABCXYZ") + list("   \n\t\r") * 4 + list("0123456789.,;:!?'\"-_()[]{}<>|/\\@#$%^&*+=~`") + ["\r\n", "\n\n", "  ", "    ", "the", " the", "ing", "'s", "'ll", "é", "e\u0301", "ß", "İ", "Σ", "日", "本", "語", "中", "한", "\u1100\u1161", "ا", "ل", "न", "म", "\u094d", "😀", "👩\u200d💻", "\u200d", "\u0301", "\u00a0", "\u3000", "\ufeff", "\u0085", "\u2028", "\x00", "\x0b", "▁", "Ġ", "<bos>", "<eos>", "<s>", "</s>", "<|endoftext|>", "<mask>", "extra", "<unk>", "<0x0A>", "LOWER", "café", "½", "²", "٣", "ﬁ", "\U0001d400", "\U0010ffff"]
    for i in range(230):
        n = rnd.choice([1, 2, 3, 5, 8, 13, 20, 40, 80])
        T.append("".join(rnd.choice(pool) for _ in range(n)))
    for i in range(40):  # any code points
        out = []
        for _ in range(12):
            low, high = rnd.choice([(0, 0x300), (0x300, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000)])
            out.append(assigned(rnd, low, high) + rnd.choice(["", "", " "]))
        T.append("".join(out))
    return T


C = [(CASES / name).read_text("utf8")[:60000] for name in ("first.txt", "second.txt")]
C += ["const x = [1, 20, 300]; if (a && b || !c) { return foo_bar(x); } // 3.14 http://a.b/c?d=e#f 'quoted' \"text\"\n\tlowering lower LOWER the extra\r\n" * 20]
C += ["日本語のテキスト 中文字符测试，标点。こんにちは世界 한국어 각각 مرحبا بالعالم नमस्ते दुनिया Привет, мир! Ελληνικά é è ê à ü ö ä ß ñ café naïve 😀 👍 " * 12]
T = [text for text in texts() if all(unicodedata.category(c) != "Cn" or c in "\uffff\ufffe\U0010ffff" for c in text)]
BYTES = ["<0x%02X>" % i for i in range(256)]
def train(tok, vocab, special, alphabet=(), limit=None):
    tr = trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False, **({"limit_alphabet": limit} if limit else {}))
    tok.train_from_iterator(C, tr)
    return json.loads(tok.to_str())
made = {}
UNSUPPORTED = {"norm-nmt", "norm-bert", "pre-bert", "pre-scripts", "pre-fixed", "prefix"}
def save(name, j):
    if isinstance(j, Tokenizer): j = json.loads(j.to_str())
    made[name] = j
def edit(base, **kw):
    j = copy.deepcopy(made[base]); 
    for k, v in kw.items():
        if k.startswith("model_"): j["model"][k[6:]] = v
        else: j[k] = v
    return j
def added(j, *tokens):
    j = copy.deepcopy(j)
    nxt = max(max(j["model"]["vocab"].values()), max([a["id"] for a in j["added_tokens"]] or [0])) + 1
    for t in tokens:
        t = dict(dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **t)
        have = j["model"]["vocab"].get(t["content"])
        if have is None: t["id"] = nxt; nxt += 1
        else: t["id"] = have
        j["added_tokens"].append(t)
    j["added_tokens"].sort(key=lambda a: a["id"])
    return j
def template(tok, id, eos=None):
    single = [{"SpecialToken": {"id": tok, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    sp = {tok: {"id": tok, "ids": [id], "tokens": [tok]}}
    if eos: single.append({"SpecialToken": {"id": eos[0], "type_id": 0}}); sp[eos[0]] = {"id": eos[0], "ids": [eos[1]], "tokens": [eos[0]]}
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": sp}
# gemma
t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
t.normalizer = N.Replace(" ", "▁")
t.pre_tokenizer = P.Split(" ", "merged_with_previous")
t.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()])
# trained on words (with a metaspace pretokenizer) for quality
t.pre_tokenizer = P.Metaspace(replacement="▁", prepend_scheme="never")
j = train(t, 500, ["<pad>", "<eos>", "<bos>", "<unk>"] + BYTES, limit=110)
j["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
j["added_tokens"] = [a for a in j["added_tokens"] if not a["content"].startswith("<0x")]
j["post_processor"] = template("<bos>", 2)
made["gemma"] = j
j = added(j, {"content": "<mask>", "lstrip": True, "special": True}, {"content": "\n\n"}, {"content": "\n\n\n"}, {"content": "▁▁"}, {"content": "▁▁▁▁"}, {"content": "\t\t"}, {"content": "<start_of_turn>", "special": True}, {"content": "extra", "single_word": True})
save("gemma", j)
save("gemma-no-pre", edit("gemma", pre_tokenizer=None))
save("gemma-str-merges", edit("gemma", model_merges=[" ".join(m) if isinstance(m, list) else m for m in made["gemma"]["model"]["merges"]]))
save("gemma-nofuse-nobytes", edit("gemma", model_fuse_unk=False, model_byte_fallback=False))
save("gemma-fuse-nobytes", edit("gemma", model_fuse_unk=True, model_byte_fallback=False))
save("gemma-nounk-nobytes", edit("gemma", model_unk_token=None, model_byte_fallback=False))
# llama2
save("llama2", dict(edit("gemma", pre_tokenizer=None), normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}))
for scheme in ["first", "always", "never"]:
    for split in [True, False]:
        save(f"metaspace-{scheme}-{split}", dict(edit("gemma", normalizer=None), pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}, decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}))
save("metaspace-old", dict(edit("gemma", normalizer=None), pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "str_rep": "▁"}, decoder={"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}))
# byte level
def bl(normalizer, pre, vocab=500, post=None, special=("<|endoftext|>",), ignore=False, decoder=None):
    t = Tokenizer(models.BPE())
    if normalizer: t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoder or D.ByteLevel()
    if post: t.post_processor = post
    j = train(t, vocab, list(special), P.ByteLevel.alphabet())
    j["model"]["ignore_merges"] = ignore
    return j
save("gpt2", bl(None, P.ByteLevel(add_prefix_space=False), post=PP.ByteLevel(trim_offsets=False)))
save("gpt2-prefix", bl(None, P.ByteLevel(add_prefix_space=True), post=PP.ByteLevel(trim_offsets=True)))
LL3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QW = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200 = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BLP = lambda: P.ByteLevel(add_prefix_space=False, use_regex=False)
j = bl(None, P.Sequence([P.Split(Regex(LL3), "isolated"), BLP()]), special=["<|begin_of_text|>", "<|endoftext|>"], ignore=True)
j["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, template("<|begin_of_text|>", 0)]}
save("llama3", j)
v = dict(j["model"]["vocab"]);
# words that no merge produces, for ignore_merges
n = len(v)
for w in ["Ġlowering", "zyxw", "ĠHelloĠ"]:
    v[w] = n; n += 1
save("llama3-unreached", edit("llama3", model_vocab=v))
save("llama3-noignore", edit("llama3-unreached", model_ignore_merges=False))
save("qwen", added(bl(N.NFC(), P.Sequence([P.Split(Regex(QW), "isolated"), BLP()]), special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], post=PP.ByteLevel(trim_offsets=False)), {"content": "<tool>"}, {"content": "<mask>", "rstrip": True, "special": True}, {"content": "café", "normalized": True}, {"content": "extra", "single_word": True, "normalized": True}))
save("qwen-removed", edit("qwen", pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": QW}, "behavior": "Removed", "invert": True}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}))
save("o200k", bl(None, P.Sequence([P.Split(Regex(O200), "isolated"), BLP()])))
save("deepseek", bl(N.Sequence([]), P.Sequence([P.Split(Regex(r"\p{N}{1,3}"), "isolated"), P.Split(Regex(r"[一-龥぀-ゟ゠-ヿ]+"), "isolated"), P.Split(Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"), BLP()])))
save("deepseek-coder", bl(N.Sequence([]), P.Sequence([P.Split(Regex(r"[\r\n]"), "isolated"), P.Split(Regex(r"\s?\p{L}+"), "isolated"), P.Split(Regex(r"\s?\p{P}+"), "isolated"), P.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), "isolated"), P.Digits(individual_digits=True), BLP()])))
save("falcon", bl(None, P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(individual_digits=False), P.Split(Regex("[0-9][0-9][0-9]"), "isolated")])))
save("starcoder", bl(None, P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)])))
save("olmo", bl(N.NFC(), P.ByteLevel(add_prefix_space=False)))
# normalizers over gpt2
nrm = {"nfd": {"type": "NFD"}, "nfkc": {"type": "NFKC"}, "nfkd": {"type": "NFKD"}, "lower": {"type": "Lowercase"}, "strip": {"type": "Strip", "strip_left": True, "strip_right": True}, "stripl": {"type": "Strip", "strip_left": True, "strip_right": False}, "accents": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}, "lowernfkc": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}, "replre": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " "}, {"type": "Replace", "pattern": {"String": "``"}, "content": "\""}]}, "prepend": {"type": "Prepend", "prepend": "▁"}, "nmt": {"type": "Nmt"}, "bert": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}}
for k, v in nrm.items():
    save("norm-" + k, edit("qwen", normalizer=v))
save("norm-bytelevel", dict(edit("qwen", normalizer={"type": "ByteLevel"}), pre_tokenizer=None))
pres = {"ws": {"type": "Whitespace"}, "wssplit": {"type": "WhitespaceSplit"}, "bert": {"type": "BertPreTokenizer"}, "char": {"type": "CharDelimiterSplit", "delimiter": "e"}, "punct-iso": {"type": "Punctuation", "behavior": "Isolated"}, "punct-rem": {"type": "Punctuation", "behavior": "Removed"}, "punct-prev": {"type": "Punctuation", "behavior": "MergedWithPrevious"}, "punct-next": {"type": "Punctuation", "behavior": "MergedWithNext"}, "split-cont": {"type": "Split", "pattern": {"String": "e"}, "behavior": "Contiguous", "invert": False}, "split-inv": {"type": "Split", "pattern": {"Regex": r"\w+"}, "behavior": "MergedWithNext", "invert": True}, "split-next": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithNext", "invert": False}, "digits": {"type": "Digits", "individual_digits": False}, "scripts": {"type": "UnicodeScripts"}, "fixed": {"type": "FixedLength", "length": 5}}
for k, v in pres.items():
    save("pre-" + k, edit("qwen", pre_tokenizer={"type": "Sequence", "pretokenizers": [v, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}))
save("pre-prefix-seq", edit("qwen", pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}]}))
# flags on added tokens
FL = []
for i, (c, kw) in enumerate([("<bos>", dict(special=True)), ("<s>", dict(special=True, normalized=True, lstrip=True)), ("</s>", dict(rstrip=True)), ("<mask>", dict(lstrip=True, rstrip=True)), ("extra", dict(single_word=True)), ("café", dict(normalized=True)), ("LOWER", dict(normalized=True)), ("the", dict(normalized=False)), ("\n\n", {}), ("  ", {}), ("<|endoftext|>x", dict(special=True)), ("<", dict(normalized=True, single_word=True)), ("日本", dict(normalized=True, lstrip=True)), ("é", dict(normalized=True))]):
    FL.append(dict(content=c, **kw))
for b, extra in [("qwen", {}), ("gpt2", {}), ("norm-lower", {}), ("norm-nfkd", {}), ("llama2", {}), ("gemma", {}), ("metaspace-first-True", {}), ("gpt2-prefix", {})]:
    j = copy.deepcopy(made[b]); have = {a["content"] for a in j["added_tokens"]}
    j = added(j, *[f for f in FL if f["content"] not in have])
    save("flags-" + b, j)
# word models: suffix, prefix
t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")); t.pre_tokenizer = P.Whitespace(); t.normalizer = N.Lowercase(); t.decoder = D.BPEDecoder("</w>")
tr = trainers.BpeTrainer(vocab_size=320, special_tokens=["<unk>", "<bos>", "<eos>"], end_of_word_suffix="</w>", limit_alphabet=60, show_progress=False); t.train_from_iterator(C, tr)
save("suffix", t)
t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##")); t.pre_tokenizer = P.Whitespace(); t.decoder = D.WordPiece("##")
tr = trainers.BpeTrainer(vocab_size=320, special_tokens=["<unk>", "<bos>", "<eos>"], continuing_subword_prefix="##", limit_alphabet=60, show_progress=False); t.train_from_iterator(C, tr)
save("prefix", t)
save("no-decoder", edit("gemma", decoder=None))
save("bl-fallback", edit("gemma", decoder={"type": "ByteFallback"}))
save("strip-decoder", edit("gemma", decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 2, "stop": 1}]}))
save("decoder-regex", edit("gemma", decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "▁+"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}))


def attempt(run):
    """The result of `run`, or None if the library panics."""
    try:
        return run()
    except BaseException:
        return None


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf8", "surrogatepass")).hexdigest()[:8]


rnd = random.Random(3)
bases, stored, expected = {}, {}, {}
for name, j in made.items():
    if name in UNSUPPORTED:
        continue
    model = json.dumps({key: j["model"][key] for key in ("vocab", "merges")}, ensure_ascii=False)
    base = next((key for key, value in bases.items() if value == model), None)
    if base is None:
        base = f"m{len(bases)}"
        bases[base] = model
    part = copy.deepcopy(j)
    for key in ("vocab", "merges"):
        del part["model"][key]
    stored[name] = {"base": base, "tokenizer": part}
    tok = Tokenizer.from_str(json.dumps(j))
    results = []
    for text in T:
        ids = attempt(lambda: tok.encode(text, add_special_tokens=False).ids)
        results.append([ids, attempt(lambda: tok.decode(ids, skip_special_tokens=True)), attempt(lambda: tok.decode(ids, skip_special_tokens=False))])
    drawn = []
    for k in range(15):
        ids = [rnd.randrange(min(tok.get_vocab_size(), 300 if k % 3 == 0 else 10**6)) for _ in range(rnd.choice([1, 2, 5, 12]))]
        drawn.append([ids, attempt(lambda: tok.decode(ids, skip_special_tokens=False))])
    expected[name] = {"digests": "".join(digest(r) if None not in r else "-" * 8 for r in results), "whole": [r[0] for r in results[:WHOLE]], "drawn": drawn}
lines = ["{", f'"texts": {json.dumps(T)},', '"models": {']
lines += [f'"{key}": {value},' for key, value in bases.items()]
lines[-1] = lines[-1][:-1]
lines += ["},", '"tokenizers": {']
lines += [f'"{key}": {json.dumps(value, ensure_ascii=True, separators=(",", ":"))},' for key, value in stored.items()]
lines[-1] = lines[-1][:-1]
lines += ["},", '"expected": {']
lines += [f'"{key}": {json.dumps(value, ensure_ascii=True, separators=(",", ":"))},' for key, value in expected.items()]
lines[-1] = lines[-1][:-1]
lines += ["}", "}"]
(HERE / "tokenizers.json").write_text("\n".join(lines) + "\n", "utf8")
print(len(T), "texts,", len(stored), "tokenizers")
