"""
    python run_cases.py DIR

Runs StableHLO modules on virtual CPU devices, many in one process. DIR/cases.json lists the cases: {"name", "text", "axes", "arguments", "results"}, where
arrays are described as in an export's manifest. DIR/inputs.safetensors contains `<case>/<argument>`. Writes DIR/outputs.safetensors, `<case>/<result>`.
"""

import json
import os
import sys
from pathlib import Path

DEVICES = 8
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}".strip()
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packages/interop/assets/xla"))

import jax  # noqa: E402
import numpy as np  # noqa: E402
from lapidary_xla.engine import compile_text, verify_text  # noqa: E402
from lapidary_xla.layout import Layout  # noqa: E402
from lapidary_xla.manifest import read_array  # noqa: E402
from lapidary_xla.safetensors_file import SafetensorsFile, create  # noqa: E402
from lapidary_xla.state import place  # noqa: E402

folder = Path(sys.argv[1])
cases = json.loads((folder / "cases.json").read_text())
inputs = SafetensorsFile(folder / "inputs.safetensors")
results = {f"{case['name']}/{array['name']}": (tuple(array["dims"]), "<f4" if array["dtype"] == "f32" else "<i4") for case in cases for array in case["results"]}
create(folder / "outputs.safetensors", results, {})
outputs = SafetensorsFile(folder / "outputs.safetensors", writable=True)

for case in cases:
    text = (folder / case["text"]).read_text()
    verify_text(text, case["text"])
    axes = [(axis["name"], axis["size"]) for axis in case["axes"]]
    layout = Layout(axes, jax.devices()[: int(np.prod([size for _, size in axes]))])
    executable = compile_text(text, layout.devices)
    arrays = [read_array(raw) for raw in case["arguments"]]
    arguments = [place(layout, array, lambda index, array=array: inputs.part(f"{case['name']}/{array.name}", array.dims, index)) for array in arrays]
    executable.check(arguments, [array.name for array in arrays])
    for raw, shards in zip(case["results"], executable.run(arguments), strict=True):
        array = read_array(raw)
        whole = jax.make_array_from_single_device_arrays(array.dims, layout.sharding(array), shards)
        outputs.view(f"{case['name']}/{array.name}", array.dims)[...] = np.asarray(whole)
outputs.flush()
