#!/usr/bin/env python3
"""
    python tpu.py DIRECTORY --chip v5e [--text whole|chip] [--hlo FILE | --memory]

Compiles the modules of a directory, as `run.py --compile` does in an export. Runs in the environment that has the compiler.
JSON on stdout: `report` (`lapidary_xla/tpu_report.py`), and `does_not_fit` (`lapidary_xla/tpu_compiler.py`) or null.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import common  # noqa: F401: the import path

from lapidary_xla.failures import Failure
from lapidary_xla.tpu_command import compile_export, read_bundle


def main() -> int:
    parser = argparse.ArgumentParser(prog="tpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--chip", required=True)
    parser.add_argument("--text", choices=["whole", "chip"], default="whole")
    parser.add_argument("--hlo", type=Path)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bundle = read_bundle(options.directory)
        report, short = compile_export(options.directory, bundle, chip=options.chip, text=options.text, hlo=options.hlo, memory=options.memory, python=Path(sys.executable))
    except Failure as failure:
        failure.report()
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    print(json.dumps({"report": report, "does_not_fit": short}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
