"""
Several processes without accelerators communicate with Gloo, which opens a connection for every pair of devices of a group: n·(n − 1) sockets
for a group of n devices. If the system does not allow this number, the process dies. This module checks the limit first.
"""

from __future__ import annotations

from typing import Sequence

import jax

from .failures import DOES_NOT_FIT, Failure
from .groups import groups_of

# File descriptors for listeners, files and libraries.
OTHER_DESCRIPTORS = 1024


def prepare(program: str, devices: Sequence[jax.Device]) -> None:
    """
    Raises the limit of open files to the hard limit, and rejects a program that needs more.

    program: optimized HLO, which lists all groups
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = sockets_of(program, devices) + OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise Failure(
            "LAP_XLA_SOCKETS",
            f"too many sockets: the groups of the program need {needed} in this process, the limit of open files is {hard}",
            "raise the hard limit (ulimit -Hn), use more processes, or run the per-device module (--text chip) of an export with --split-all-reduce, whose groups are smaller",
            "ulimit -n",
            DOES_NOT_FIT,
        )


def sockets_of(program: str, devices: Sequence[jax.Device]) -> int:
    """The number of connections of this process, over all distinct groups."""
    here = {at for at, device in enumerate(devices) if device.process_index == jax.process_index()}
    groups: set[tuple[int, ...]] = set()
    for line in program.splitlines():
        if "source_target_pairs=" in line:
            # All devices that send or receive form one group.
            groups.add(tuple(sorted({device for pair in groups_of(line, len(devices)) for device in pair})))
        elif "replica_groups=" in line:
            groups |= {tuple(group) for group in groups_of(line, len(devices))}
    return sum(len(local) * (len(group) - 1) for group in groups if (local := here & set(group)))
