#!/usr/bin/env python3
"""
Trains an exported job on XLA: on the accelerators that JAX finds, or on virtual CPU devices. Prints `step loss`, one line per step.

    python run.py --text whole --devices all --steps 100      the global module: XLA partitions it with Shardy
    python run.py --text chip                                 the per-device module: Lapidary has partitioned it
    python run.py --check                                     verifies both modules, compiles nothing
    python run.py --compile v5e                               compiles with Google's TPU compiler, without a TPU, and compares with the plan

On several hosts, run the same command with --distributed if JAX can find its peers (Cloud TPU, Slurm, Kubernetes), otherwise with
--coordinator HOST:PORT --processes P --process I.
"""

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"lapidary: error LAP_XLA_PYTHON: unsupported Python {sys.version.split()[0]}\n    remedy: use Python 3.11 or later, as JAX requires")

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lapidary_xla.failures import DOES_NOT_FIT, USAGE, Failure, log  # noqa: E402
from lapidary_xla.manifest import Manifest, read_manifest  # noqa: E402


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--text", choices=["whole", "chip"], default="whole", help="the global module (whole) or the per-device module (chip); default: whole")
    parser.add_argument("--devices", default="all", metavar="N|all", help="number of devices in all processes (default: all)")
    parser.add_argument("--steps", type=_count, metavar="K", help="number of steps to run (default: to the end of the job)")
    parser.add_argument("--check", action="store_true", help="verify modules and files, then stop")
    parser.add_argument("--json", action="store_true", help="print one JSON object per step, with all metrics")
    parser.add_argument("--memory", action="store_true", help="print XLA's memory plan for one device as JSON; with --compile: only memory and collectives, in seconds")
    parser.add_argument("--synthetic", action="store_true", help="random tokens instead of the job's data")
    parser.add_argument("--any-jax", action="store_true", help="accept another version of JAX than the pinned one")
    parser.add_argument("--no-install", action="store_true", help="if JAX is missing, do not install it into a separate environment")
    compiler = parser.add_argument_group("Google's TPU compiler")
    compiler.add_argument("--compile", metavar="CHIP", help="compile for v5e, v5p, v6e or v4, and print HBM, collectives and cycles next to the plan")
    compiler.add_argument("--install", action="store_true", help="agree to the licence of the compiler and install it (1.1 GB)")
    compiler.add_argument("--hlo", metavar="FILE", type=Path, help="compile again, and write the optimized program of a chip")
    hosts = parser.add_argument_group("several hosts")
    hosts.add_argument("--distributed", action="store_true", help="let JAX find the other processes")
    hosts.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    hosts.add_argument("--processes", type=_count, metavar="P", help="number of processes")
    hosts.add_argument("--process", type=int, metavar="I", help="index of this process, from 0")
    checkpoints = parser.add_argument_group("checkpoints")
    checkpoints.add_argument("--checkpoint-dir", metavar="DIR", help="directory of the checkpoints (default: checkpoints/ of the export)")
    checkpoints.add_argument("--checkpoint-every", type=_count, metavar="K", help="write a checkpoint every K steps, and at the end")
    checkpoints.add_argument("--checkpoint-format", choices=["auto", "safetensors", "orbax"], default="auto", help="auto: Orbax if it is installed")
    checkpoints.add_argument("--keep", type=_count, default=3, metavar="N", help="number of newest checkpoints to keep (default: 3)")
    checkpoints.add_argument("--restore", metavar="DIR|latest", help="resume from a checkpoint of this runner or of Lapidary")
    checkpoints.add_argument("--resume", action="store_true", help="resume from the latest checkpoint, if there is one")
    options = parser.parse_args()
    if options.devices != "all" and not options.devices.isdigit():
        parser.error(f"invalid --devices {options.devices}: expected a number or `all`")
    by_hand = (options.coordinator, options.processes, options.process)
    if any(given is not None for given in by_hand) and (None in by_hand or options.distributed):
        parser.error("--coordinator, --processes and --process must be given together, and not with --distributed")
    return options


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text}")
    return int(text)


def check_jax(manifest: Manifest, options: argparse.Namespace) -> None:
    """Checks the version without an import: a wrong version may fail to import, and the right one must not start before its environment is set."""
    pinned = f"pip install jax=={manifest.jax} (for TPUs 'jax[tpu]=={manifest.jax}', for GPUs 'jax[cuda12]=={manifest.jax}')"
    for package in ("jax", "jaxlib"):
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            if options.no_install or has_accelerators():
                raise Failure("LAP_XLA_JAX", f"{package} is not installed", pinned, sys.executable, USAGE) from None
            return restart_with_jax(manifest)
        if found == manifest.jax:
            continue
        if not options.any_jax:
            raise Failure("LAP_XLA_JAX", f"version mismatch: {package} is {found}, the export needs {manifest.jax}", f"{pinned}, or add --any-jax to try this version", sys.executable, USAGE)
        log(f"warning: {package} is {found}, not {manifest.jax}")


def has_accelerators() -> bool:
    """Whether the machine has accelerators. They need a JAX build that only the user can choose."""
    return any(any(Path("/dev").glob(pattern)) for pattern in ("accel*", "vfio/[0-9]*", "nvidia[0-9]*", "kfd"))


def restart_with_jax(manifest: Manifest) -> None:
    """Runs the same command with the interpreter of a separate environment that has the pinned JAX."""
    from lapidary_xla import environment

    requirements = manifest.path("requirements.txt", "the list of requirements").read_text().split()
    python = environment.provide(requirements)
    os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])


def keep_stdout() -> None:
    """Reserves stdout for results: the output of native code (Gloo, for every connection) goes to stderr."""
    sys.stdout.flush()
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = results


def prepare_environment(manifest: Manifest, options: argparse.Namespace) -> None:
    """Sets the number of virtual CPU devices, used if there are no others, and long timeouts for collectives with many threads on few cores."""
    devices = manifest.devices if options.devices == "all" else int(options.devices)
    processes = options.processes or 1
    if devices % processes != 0:
        raise Failure("LAP_XLA_DEVICES", f"{devices} devices are not divisible by {processes} processes", "choose a number of processes that divides the number of devices", "--processes", DOES_NOT_FIT)
    flags = [
        f"--xla_force_host_platform_device_count={devices // processes}",
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=600",
        "--xla_cpu_collective_call_terminate_timeout_seconds=3600",
    ]
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = " ".join([given, *(flag for flag in flags if flag.split("=")[0] not in given)]).strip()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def connect(options: argparse.Namespace) -> None:
    import jax

    if options.coordinator is None and not options.distributed:
        return
    if options.distributed:
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    log(f"process {jax.process_index()} of {jax.process_count()}, {jax.local_device_count()} devices of {jax.device_count()}")


def main() -> int:
    options = parse_options()
    try:
        if options.compile is not None:
            from lapidary_xla import tpu_command

            return tpu_command.main(Path(__file__).resolve().parent, options)
        manifest = read_manifest(Path(__file__).resolve().parent)
        check_jax(manifest, options)
        prepare_environment(manifest, options)
        from lapidary_xla import training

        if options.check:
            for which in manifest.texts:
                training.check_text(manifest, which)
                log(f"{manifest.texts[which]} verified")
            return 0
        keep_stdout()
        connect(options)
        training.train(manifest, options)
    except Failure as failure:
        failure.report()
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
