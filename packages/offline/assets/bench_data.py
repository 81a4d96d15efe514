"""Times one stage of datatrove, or SentencePiece, on a directory of JSON lines. Prints the times as one line of JSON.

    python bench_data.py STAGE CORPUS OUTPUT ITEMS MODEL
    python bench_data.py versions

One thread. What is timed is the work from the first document that is read to the last that is written. ITEMS is a file of evaluation items
(`query`, `label`), and MODEL a SentencePiece model.
"""

import importlib.metadata
import json
import os
import pathlib
import struct
import sys
import time


def versions():
    found = {}
    for name in ("datatrove", "sentencepiece"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


class Counts:
    """Documents before and after a stage, and bytes of text before it."""

    def __init__(self):
        self.came_in = self.went_out = self.bytes = 0

    def entering(self, documents):
        for document in documents:
            self.came_in += 1
            self.bytes += len(document.text.encode())
            yield document

    def leaving(self, documents):
        for document in documents:
            self.went_out += 1
            yield document


def warm_words():
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    load_word_tokenizer("eng").word_tokenize("The first call loads the model.")


def filters_of(stage):
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

    gopher = [GopherRepetitionFilter, GopherQualityFilter]
    chosen = {"gopher": gopher, "c4": [C4QualityFilter], "fineweb": [FineWebQualityFilter]}
    chosen["filters"] = [*gopher, C4QualityFilter, FineWebQualityFilter]
    return [make() for make in chosen[stage]]


def decontamination(output, items):
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    os.makedirs(f"{output}/index", exist_ok=True)
    step = NGramsDecontFilter(f"{output}/index", config=NGramsDecontConfig())
    hashes = set()
    for line in open(items, encoding="utf8"):
        item = json.loads(line)
        words = step.tokenizer.word_tokenize(simplify_text(f"{item['query']} {item['label']}"))
        hashes |= {step.hash_func(" ".join(run)) for run in ngrams(words, 12)}
    pathlib.Path(output, "index", "items.index.hashes").write_bytes(struct.pack(f"<{len(hashes)}Q", *hashes))
    return step


def run_datatrove(stage, corpus, output, items, counts):
    """Prepares a stage, and returns the function to time."""
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()
    read = lambda: counts.entering(JsonlReader(corpus).run(None, 0, 1))

    def chain(steps):
        documents = read()
        for step in steps:
            documents = step.run(documents, 0, 1)
        for _ in JsonlWriter(f"{output}/kept", compression=None).run(counts.leaving(documents), 0, 1):
            pass

    if stage == "copy":
        return lambda: chain([])
    if stage == "pii":
        from datatrove.pipeline.formatters import PIIFormatter

        steps = [PIIFormatter()]
        return lambda: chain(steps)
    warm_words()
    if stage == "signatures":
        from datatrove.pipeline.dedup import MinhashDedupSignature
        from datatrove.pipeline.dedup.minhash import MinhashConfig

        step = MinhashDedupSignature(f"{output}/signatures", config=MinhashConfig())
        return lambda: step.run(counts.leaving(read()), 0, 1)
    if stage.startswith("decontaminate"):
        steps = [decontamination(output, items)]
        return lambda: chain(steps)
    steps = filters_of(stage)
    return lambda: chain(steps)


def run_sentencepiece(corpus, output, model, counts):
    import array

    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=model, num_threads=1)

    def encode():
        with open(f"{output}/ids.bin", "wb") as file:
            for path in sorted(pathlib.Path(corpus).glob("*.jsonl")):
                for line in open(path, encoding="utf8"):
                    text = json.loads(line)["text"]
                    counts.came_in += 1
                    counts.went_out += 1
                    counts.bytes += len(text.encode())
                    array.array("I", processor.EncodeAsIds(text)).tofile(file)

    return encode


def main():
    if sys.argv[1] == "versions":
        print(json.dumps(versions()))
        return
    stage, corpus, output, items, model = sys.argv[1:]
    os.makedirs(output, exist_ok=True)
    counts = Counts()
    work = run_sentencepiece(corpus, output, model, counts) if stage.startswith("tokenize") else run_datatrove(stage, corpus, output, items, counts)
    start, cpu = time.perf_counter(), time.process_time()
    work()
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu, "documents_in": counts.came_in, "documents_out": counts.went_out, "bytes": counts.bytes, "peak_bytes": peak_bytes()}))


def peak_bytes():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


main()
