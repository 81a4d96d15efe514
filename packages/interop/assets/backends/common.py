"""Shared by the reference backends: the import path of the runner's package, and its meshes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "xla"))

from lapidary_xla.mesh import BYTES, Mesh, moved_bytes  # noqa: E402, F401
