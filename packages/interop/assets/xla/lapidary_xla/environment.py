#!/usr/bin/env python3
"""
A separate Python environment with the pinned JAX, installed with the user's pip from the user's index, for machines without this JAX:

    cache/jax-VERSION.wheels/    downloaded wheels: an interrupted download resumes from them
    cache/jax-VERSION/           the environment, complete or absent

    python environment.py jax==0.10.2 jaxlib==0.10.2 …     prints the path of its interpreter; creates a missing or damaged environment first
    python environment.py --only-look jax==0.10.2 …        the same, but creates nothing: exit code 102 if it is missing or damaged

Only the standard library is used here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping, Sequence

if __package__:
    from .failures import NOT_FOUND, Failure, log
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from lapidary_xla.failures import NOT_FOUND, Failure, log

ATTEMPTS = 3
# Settings of pip that would break the installation. A variable also overrides the same setting in pip.conf; pip ignores an empty variable.
PIP_OVERRIDES = {
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_REQUIRE_HASHES": "0",
    "PIP_USER": "0",
    "PIP_NO_DEPS": "0",
    "PIP_DRY_RUN": "0",
    "PIP_CONSTRAINT": os.devnull,
    "PIP_REQUIREMENT": os.devnull,
}
PIP_REMOVED = {
    f"PIP_{name}"
    for name in (
        "ABI BUILD_CONSTRAINT DEST EDITABLE GROUP IMPLEMENTATION LOG NO_BINARY ONLY_BINARY PLATFORM PREFIX PYTHON PYTHON_VERSION REPORT ROOT TARGET"
    ).split()
}
# Errors after which another attempt may succeed. Any other error of pip would repeat.
NETWORK = re.compile(
    r"connection ?(error|reset|refused|aborted|broken)|timed? ?out|name resolution|name or service not known|network is unreachable|no route to host"
    r"|max retries|proxyerror|sslerror|incompleteread|protocolerror|remotedisconnected|temporary failure|http error (429|5\d\d)"
    r"|\b(429|5\d\d) (client|server) error|do not match the hashes",
    re.IGNORECASE,
)
FULL_DISK = re.compile(r"no space left on device|disk quota exceeded|\[Errno (28|122)\]", re.IGNORECASE)
# The oldest Python version that JAX supports.
OLDEST = (3, 11)
# Google's TPU compiler: what the user agrees to, the disk space of the environment, and of its installation.
TPU_LICENCE = "libtpu comes under the Google Cloud Platform Terms of Service (https://cloud.google.com/terms)"
TPU_BYTES = 1.1e9
TPU_INSTALL_BYTES = 1.6e9
# SHA-256 of the wheels of the environment with the compiler. A wheel of libtpu that is not in this list is not installed.
WHEELS = {
    "jax-0.10.2-py3-none-any.whl": "724d73c4678d8b06f6a6ab4db1b8a2fea8cd4f1e2c2564f99601634ec7b8d1c6",
    "jaxlib-0.10.2-cp311-cp311-manylinux_2_27_x86_64.whl": "1faca3c5d4662cb4a6130a68105d68bb520764817e165d6eebfd6786c0d1f30f",
    "jaxlib-0.10.2-cp312-cp312-manylinux_2_27_x86_64.whl": "fe88ec443714c4379968b6c109f9fa617c7ad19b802828e4d7bf861cd66da4b7",
    "jaxlib-0.10.2-cp313-cp313-manylinux_2_27_x86_64.whl": "9e4818b4a8756fd3918766ca2aa5342125809f4f08a6fe46026d4386e7c23644",
    "jaxlib-0.10.2-cp314-cp314-manylinux_2_27_x86_64.whl": "ca34f363197fb0ac4082582ca755007910369e33f8a8ba3d35ed94b71070107d",
    "libtpu-0.0.52-cp311-cp311-manylinux_2_31_x86_64.whl": "f5e2e596eaea9357fbb5a6755a7a9007c6ab75bfde4a55191b03eff402971140",
    "libtpu-0.0.52-cp312-cp312-manylinux_2_31_x86_64.whl": "f76ab1f4d697c346371c50058796f6baa93317b89be8cf8a1012715a2655120d",
    "libtpu-0.0.52-cp313-cp313-manylinux_2_31_x86_64.whl": "bf962d290626e93828f4ffafef96dfff8d8bfd0d64f506ca6f953e6e1e7c8e87",
    "libtpu-0.0.52-cp314-cp314-manylinux_2_31_x86_64.whl": "1c250f39da2c604eeaace2a552593219d9c6f9a11aefef5fe063b1410a315cec",
}


def cache_directory() -> Path:
    """The directory of downloads and builds for all clones of a user."""
    if os.environ.get("LAPIDARY_CACHE"):
        return Path(os.environ["LAPIDARY_CACHE"]).resolve()
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "lapidary"
    return Path.home() / ("Library/Caches/lapidary" if sys.platform == "darwin" else ".cache/lapidary")


def provide(requirements: Sequence[str]) -> Path:
    """The interpreter of an environment with the requirements, each `name==version`, including jax."""
    wanted = dict(requirement.split("==") for requirement in requirements)
    directory = environment_directory(wanted)
    python = directory / "bin/python"
    if not is_whole(python, wanted):
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(directory.with_name(f"{directory.name}.lock")):
            # Another process may have created it in the meantime.
            if not is_whole(python, wanted):
                make(directory, requirements)
        if not is_whole(python, wanted):
            raise Failure("LAP_XLA_VENV", "the environment lacks the installed packages", f"remove {directory} and try again", str(directory))
    return python


def environment_directory(wanted: Mapping[str, str]) -> Path:
    """wanted: versions by package; the TPU compiler gets a separate environment, because it is large"""
    compiler = f"-libtpu-{wanted['libtpu']}" if "libtpu" in wanted else ""
    return cache_directory() / f"jax-{wanted['jax']}{compiler}"


def is_whole(python: Path, wanted: Mapping[str, str]) -> bool:
    return problem_of(python, wanted) is None


PROBLEM_SCRIPT = """
import sys
from importlib.metadata import PackageNotFoundError, distribution
for name, version in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        found = distribution(name)
    except PackageNotFoundError:
        sys.exit(f"{name} is missing")
    if found.version != version:
        sys.exit(f"{name} is {found.version}, the export needs {version}")
    for file in found.files or []:
        path = found.locate_file(file)
        if file.size is not None and not (path.is_file() and path.stat().st_size == file.size):
            sys.exit(f"{file} is missing or incomplete")
"""


def problem_of(python: Path, wanted: Mapping[str, str]) -> str | None:
    """What an environment lacks: a package, its version, or a file. None if it is complete."""
    if not python.exists():
        return f"{python} is missing"
    pairs = [text for pair in wanted.items() for text in pair]
    try:
        found = subprocess.run([python, "-c", PROBLEM_SCRIPT, *pairs], capture_output=True, text=True, env=clean_environment())
    except OSError as cause:
        return f"{python} does not start: {cause.strerror}"
    lines = found.stderr.strip().splitlines()
    return None if found.returncode == 0 else (lines[-1] if lines else f"{python} exited with {found.returncode}")


def require_space(directory: Path, needed: float) -> None:
    """directory: an existing directory on the file system of the installation"""
    if shutil.disk_usage(directory).free < needed:
        raise full_disk(directory, needed)


def full_disk(directory: Path, needed: float) -> Failure:
    free = shutil.disk_usage(directory).free
    return Failure("LAP_XLA_SPACE", f"{free / 1e9:.2f} GB are free at {directory}, the installation needs {needed / 1e9:.1f} GB", "free disk space, or point LAPIDARY_CACHE to a directory on a larger disk, then try again: it resumes the download", str(directory))


def check_wheels(wheels: Path, hashes: Mapping[str, str]) -> None:
    """Compares the wheels with the pinned hashes, and removes a wheel that differs."""
    for wheel in sorted(wheels.glob("*.whl")):
        pinned = hashes.get(wheel.name)
        if pinned is None and not wheel.name.startswith("libtpu-"):
            continue
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != pinned:
            wheel.unlink()
            wanted = f"sha256 is {found}, expected {pinned}" if pinned else "its hash is not known"
            raise Failure("LAP_XLA_HASH", f"the index has another wheel {wheel.name}: {wanted}", "check your pip index (`pip config list`); the pinned wheels are those of pypi.org, for Linux on x86-64 and Python 3.11 to 3.14", str(wheels))


def make(directory: Path, requirements: Sequence[str]) -> None:
    if sys.version_info < OLDEST:
        raise Failure("LAP_XLA_PYTHON", f"unsupported Python {sys.version.split()[0]}", "use Python 3.11 or later, as JAX requires")
    wheels = directory.with_name(f"{directory.name}.wheels")
    wheels.mkdir(exist_ok=True)
    sweep(directory)
    compiler = any(requirement.startswith("libtpu==") for requirement in requirements)
    if compiler:
        require_space(directory.parent, TPU_INSTALL_BYTES)
    pip(f"download {requirements[0]}", wheels, ["download", "--only-binary=:all:", "--dest", wheels, "--find-links", wheels, *requirements])
    if compiler:
        check_wheels(wheels, WHEELS)
    draft = directory.with_name(f"{directory.name}.tmp-{os.getpid()}")
    try:
        made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", draft], capture_output=True, text=True)
        if made.returncode != 0:
            raise Failure("LAP_XLA_VENV", f"python -m venv failed: {made.stderr.strip()}", "install the venv module of your Python (Debian: python3-venv)", sys.executable)
        install = ["--python", draft / "bin/python", "install", "--no-index", "--find-links", wheels, "--no-warn-script-location", *requirements]
        # All wheels are downloaded, so ignore pip.conf: its `target` or `prefix` would install elsewhere.
        pip("install", draft, install, {"PIP_CONFIG_FILE": os.devnull})
        shutil.rmtree(directory, ignore_errors=True)
        draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(wheels, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Removes incomplete environments of processes that have ended."""
    for draft in directory.parent.glob(f"{directory.name}.tmp-*"):
        if not Path(f"/proc/{draft.name.rpartition('-')[2]}").exists():
            shutil.rmtree(draft, ignore_errors=True)


def pip(doing: str, watched: Path, args: Sequence[str | Path], settings: Mapping[str, str] | None = None) -> None:
    """watched: the directory whose growth is shown; settings: further variables"""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, args), "--progress-bar=off", "--quiet"]
    output = ""
    for attempt in range(1, ATTEMPTS + 1):
        with progress(doing if attempt == 1 else f"{doing} (attempt {attempt} of {ATTEMPTS})", watched):
            ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**clean_environment(), **(settings or {})})
        if ended.returncode == 0:
            return
        output = "\n".join(ended.stdout.strip().splitlines()[-12:])
        if FULL_DISK.search(ended.stdout):
            raise full_disk(cache_directory(), TPU_INSTALL_BYTES)
        if not NETWORK.search(ended.stdout):
            raise Failure("LAP_XLA_PIP", f"pip refused to {doing}:\n{output}", "correct what pip reports (`pip config list` shows its settings; pip 22.3 or later is needed), then try again: it resumes the download", sys.executable)
    raise Failure("LAP_XLA_PIP", f"pip could not {doing}:\n{output}", "check that `pip download jax` works (network, proxy, index; pip 22.3 or later), then try again: it resumes the download", sys.executable)


def clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME") and name not in PIP_REMOVED}
    return {**kept, **PIP_OVERRIDES}


@contextmanager
def progress(doing: str, watched: Path) -> Iterator[None]:
    """Prints the progress every two seconds, on one line in a terminal."""
    done = threading.Event()
    start = time.monotonic()

    def line() -> str:
        size = sum(path.stat().st_size for path in watched.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
        return f"jax: {doing}: {size:.0f} MB ({time.monotonic() - start:.0f} s)"

    def show() -> None:
        while not done.wait(2):
            try:
                text = line()
            except OSError:
                # pip may delete a file during the loop.
                continue
            if sys.stderr.isatty():
                print(f"\r\x1b[2Klapidary: {text}", end="", file=sys.stderr, flush=True)
            else:
                log(text)

    shown = threading.Thread(target=show, daemon=True)
    log(f"jax: {doing}")
    shown.start()
    try:
        yield
    finally:
        done.set()
        shown.join()
        if sys.stderr.isatty():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock. The system releases the lock of a process that ends."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log(f"jax: waiting for another process that installs it ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    # Exit by exception on SIGTERM, so that incomplete files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    only_look, requirements = "--only-look" in sys.argv, [given for given in sys.argv[1:] if given != "--only-look"]
    try:
        if only_look:
            wanted = dict(requirement.split("==") for requirement in requirements)
            python = environment_directory(wanted) / "bin/python"
            problem = problem_of(python, wanted)
            if problem is not None:
                log(f"jax: {problem}")
                return NOT_FOUND
            print(python)
        else:
            print(provide(requirements))
    except Failure as failure:
        failure.report()
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
