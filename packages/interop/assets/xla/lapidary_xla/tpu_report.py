"""The report of `lapidary compile` and of `run.py --compile`: the result of the TPU compiler next to the plan of Lapidary."""

from __future__ import annotations

import re
from typing import Mapping, Sequence


def make_report(bundle: Mapping, chip: str, text: str, result: Mapping) -> dict:
    """
    bundle: `compile/plan.json` of an export
    text: the module, `whole` or `chip`
    result: what `tpu_compiler.py` printed for it
    """
    plan = bundle["plans"].get(chip)
    fits = "does_not_fit" not in result
    return {
        "job": bundle["job"],
        "chip": chip,
        "topology": f"{chip}:{bundle['slice']}",
        "slices": bundle["slices"],
        "text": text,
        "compile_s": result["compile_s"],
        "hbm_bytes": _hbm(result),
        "fits": fits,
        "plan_hbm_bytes_peak": plan["hbm_bytes_peak"] if plan else None,
        "collectives": _collectives(result, plan) if fits else [],
        "cycles": _cycles(bundle["modules"][text], result, bundle["labels"], plan) if "cycles" in result else [],
        "compiler": f"libtpu {bundle['packages']['libtpu']}",
    }


def _hbm(result: Mapping) -> dict[str, int | None]:
    memory = result.get("memory")
    if memory is None:
        # The compiler has no plan for a program that does not fit; it only says what it needs.
        return {"arguments": None, "outputs": None, "temporary": None, "peak": result["does_not_fit"]["used"]}
    return {"arguments": memory["arguments"], "outputs": memory["outputs"], "temporary": memory["temporary"], "peak": peak_of(memory)}


def peak_of(memory: Mapping[str, int]) -> int:
    """Arguments, temporaries, and the outputs that do not replace an argument."""
    return memory["arguments"] + memory["temporary"] + memory["outputs"] - memory["aliased"]


def shortage(bundle: Mapping, chip: str, result: Mapping) -> dict | None:
    """What exceeds HBM if the program does not fit. The compiler does not always name buffers; then these are the largest values of our plan."""
    short, plan = result.get("does_not_fit"), bundle["plans"].get(chip)
    if short is None or short["buffers"] or plan is None:
        return short
    return {**short, "buffers": plan["largest"]}


def _collectives(result: Mapping, plan: Mapping | None) -> list[dict]:
    sums: dict[tuple[str, str], list[float]] = {}
    for row in result["collectives"]:
        of_row = sums.setdefault((row["op"], "+".join(row["axes"])), [0, 0])
        of_row[0] += row["runs"]
        of_row[1] += row["runs"] * row["bytes"]
    ours = {(row["op"], row["axis"]): row["bytes_per_chip"] for row in (plan["collectives"] if plan else [])}
    rows = []
    for op, axis in dict.fromkeys([*sums, *ours]):
        count, sent = sums.get((op, axis), (0, 0))
        rows.append({"op": op, "axis": axis, "count": count, "bytes_per_chip": round(sent), "plan_bytes_per_chip": round(ours.get((op, axis), 0))})
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


def _cycles(module: Mapping, result: Mapping, labels: Sequence[Sequence[str]], plan: Mapping | None) -> list[dict]:
    theirs = cycles_by_label(module, result, labels)
    ours = {(row["name"], row["phase"]): row["cycles"] for row in (plan["cycles"] if plan else [])}
    rows = [{"name": name, "phase": phase, "xla": theirs.get((name, phase), 0), "plan": round(ours.get((name, phase), 0))} for name, phase in dict.fromkeys([*theirs, *ours])]
    return sorted(rows, key=lambda row: -max(row["xla"], row["plan"]))


def report_text(report: Mapping, short: Mapping | None) -> str:
    """The report as a table, for a terminal."""
    hbm = report["hbm_bytes"]
    rows = [[name, _bytes(hbm[name]), _bytes(report["plan_hbm_bytes_peak"]) if name == "peak" else ""] for name in ("arguments", "outputs", "temporary", "peak")]
    text = [
        f"{report['job']} for {report['slices']} x {report['topology']}, {report['compiler']}: {'fits' if report['fits'] else 'does not fit'}",
        *_table(["HBM of a chip", "TPU compiler", "plan"], rows),
        *_table(["largest values", "shape", "bytes"], [[buffer["name"], buffer["shape"], _bytes(buffer["bytes"])] for buffer in (short["buffers"] if short else [])]),
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
