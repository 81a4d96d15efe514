"""
The report of `lapidary compile` and of `run.py --compile`: the results of the TPU compiler next to the plan of Lapidary.

A model with many equal layers is compiled with two small numbers of layers, a and b. Every figure of the report is the line through both at L layers:

    figure(L) = figure(a) + (figure(b) - figure(a)) / (b - a) * (L - a)

An export lists modules for small numbers of layers only if the plan of Lapidary at L layers is exactly on its own line.
"""

from __future__ import annotations

import re
from typing import Callable, Mapping, Sequence

Line = Callable[[Sequence[float]], int]


def make_report(bundle: Mapping, chip: str, text: str, modules: Sequence[Mapping], results: Sequence[Mapping]) -> dict:
    """
    bundle: `compile/plan.json` of an export
    modules, results: the compiled modules by ascending number of layers, and what the compiler printed for each
    """
    plan = bundle["plans"].get(chip)
    line = line_through([module["layers"] for module in modules], bundle["layers"])
    short = [result["does_not_fit"] for result in results if "does_not_fit" in result]
    hbm, fits = _hbm(results, short, line, plan)
    labelled = [cycles_by_label(module, result, bundle["labels"]) for module, result in zip(modules, results)]
    return {
        "job": bundle["job"],
        "chip": chip,
        "topology": f"{chip}:{bundle['slice']}",
        "slices": bundle["slices"],
        "text": text,
        "compile_s": sum(result["compile_s"] for result in results),
        "hbm_bytes": hbm,
        "fits": fits,
        "plan_hbm_bytes_peak": plan["hbm_bytes_peak"] if plan else None,
        "collectives": [] if short else _collectives(results, line, plan),
        "cycles": [] if short else _cycles(labelled, line, plan),
        "compiler": f"libtpu {bundle['packages']['libtpu']}",
    }


def line_through(layers: Sequence[int], wanted: int) -> Line:
    if len(layers) == 1:
        return lambda figures: round(figures[0])
    (a, b) = layers
    return lambda figures: max(0, round(figures[0] + (figures[1] - figures[0]) / (b - a) * (wanted - a)))


def _hbm(results: Sequence[Mapping], short: Sequence[Mapping], line: Line, plan: Mapping | None) -> tuple[dict, bool]:
    if short:
        # Without a plan of the compiler there are no parts, only what it says that it needs.
        used = [result["does_not_fit"]["used"] if "does_not_fit" in result else peak_of(result["memory"]) for result in results]
        return {"arguments": None, "outputs": None, "temporary": None, "peak": line(used)}, False
    memory = {name: line([result["memory"][name] for result in results]) for name in ("arguments", "outputs", "aliased", "temporary")}
    peak = peak_of(memory)
    # A program that the compiler accepted fits. A program of other depth must be within the usable memory.
    fits = len(results) == 1 or plan is None or peak <= plan["hbm_limit"]
    return {"arguments": memory["arguments"], "outputs": memory["outputs"], "temporary": memory["temporary"], "peak": peak}, fits


def peak_of(memory: Mapping[str, int]) -> int:
    """Arguments, temporaries, and the outputs that do not replace an argument."""
    return memory["arguments"] + memory["temporary"] + memory["outputs"] - memory["aliased"]


def _collectives(results: Sequence[Mapping], line: Line, plan: Mapping | None) -> list[dict]:
    sums = []
    for result in results:
        rows: dict[tuple[str, str], list[float]] = {}
        for row in result["collectives"]:
            sums_of_row = rows.setdefault((row["op"], "+".join(row["axes"])), [0, 0])
            sums_of_row[0] += row["runs"]
            sums_of_row[1] += row["runs"] * row["bytes"]
        sums.append(rows)
    ours = {(row["op"], row["axis"]): row["bytes_per_chip"] for row in (plan["collectives"] if plan else [])}
    rows = [
        {
            "op": key[0],
            "axis": key[1],
            "count": line([of.get(key, (0, 0))[0] for of in sums]),
            "bytes_per_chip": line([of.get(key, (0, 0))[1] for of in sums]),
            "plan_bytes_per_chip": round(ours.get(key, 0)),
        }
        for key in dict.fromkeys([*(key for of in sums for key in of), *ours])
    ]
    return sorted(rows, key=lambda row: -max(row["bytes_per_chip"], row["plan_bytes_per_chip"]))


def cycles_by_label(module: Mapping, result: Mapping, labels: Sequence[Sequence[str]]) -> dict[tuple[str, str], float]:
    """The cycles of each part of the model and pass. Operations that the compiler adds itself have no name of ours: part `compiler`."""
    sums: dict[tuple[str, str], float] = {}
    for row in result.get("cycles", []):
        label = label_of(module, row["name"])
        key = ("compiler", "other") if label is None or label < 0 else tuple(labels[label])
        sums[key] = sums.get(key, 0) + row["cycles"]
    return sums


def label_of(module: Mapping, name: str) -> int | None:
    """The index of the label of a location: `layers.0.attn.out#141` ends with the id of a value; an argument is its name."""
    numbered = re.search(r"#(\d+)$", name)
    if numbered and int(numbered[1]) < len(module["values"]):
        return module["values"][int(numbered[1])]
    return module["arguments"].get(re.sub(r"^call\.\d+/", "", name))


def _cycles(labelled: Sequence[Mapping], line: Line, plan: Mapping | None) -> list[dict]:
    ours = {(row["name"], row["phase"]): row["cycles"] for row in (plan["cycles"] if plan else [])}
    rows = [
        {"name": key[0], "phase": key[1], "xla": line([of.get(key, 0) for of in labelled]), "plan": round(ours.get(key, 0))}
        for key in dict.fromkeys([*(key for of in labelled for key in of), *ours])
    ]
    return sorted(rows, key=lambda row: -max(row["xla"], row["plan"]))


def report_text(report: Mapping, modules: Sequence[Mapping], layers: int) -> str:
    """The report as a table, for a terminal."""
    hbm = report["hbm_bytes"]
    rows = [[name, _bytes(hbm[name]), _bytes(report["plan_hbm_bytes_peak"]) if name == "peak" else ""] for name in ("arguments", "outputs", "temporary", "peak")]
    text = [
        f"{report['job']} for {report['slices']} x {report['topology']}, {report['compiler']}: {'fits' if report['fits'] else 'does not fit'}",
        *([] if len(modules) == 1 else [f"compiled with {modules[0]['layers']} and {modules[1]['layers']} of {layers} layers"]),
        *_table(["HBM of a chip", "TPU compiler", "plan"], rows),
        *_table(["collective", "axis", "count", "TPU compiler", "plan"], [[row["op"], row["axis"], str(row["count"]), _bytes(row["bytes_per_chip"]), _bytes(row["plan_bytes_per_chip"])] for row in report["collectives"]]),
        *_table(["cycles", "pass", "TPU compiler", "plan"], [[row["name"], row["phase"], str(row["xla"]), str(row["plan"])] for row in report["cycles"][:20]]),
    ]
    return "\n".join(text)


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows])]
