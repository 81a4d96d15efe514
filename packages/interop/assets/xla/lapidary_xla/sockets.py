"""
Several processes without accelerators talk by Gloo, which gives every pair of devices of a group a connection of its own: n·(n − 1) sockets for
a group of n devices. A system that does not allow as many ends the process; here is asked first.
"""

from __future__ import annotations

from typing import Sequence

import jax

from .failures import DOES_NOT_FIT, Failure
from .groups import groups_of

# Listeners, files, libraries.
OTHERS = 1024


def prepare(program: str, devices: Sequence[jax.Device]) -> None:
    """
    Raises the limit of open files as far as it may be, and refuses a program that needs more.

    program: optimized HLO, which lists all groups
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = sockets_of(program, devices) + OTHERS
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise Failure(
            "LAP_XLA_SOCKETS",
            f"the groups of the program need {needed} sockets in this process, {hard} files may be open",
            "raise the hard limit (ulimit -Hn), use more processes, or run the chip text of an export with --axis-wise, whose groups are smaller",
            "ulimit -n",
            DOES_NOT_FIT,
        )


def sockets_of(program: str, devices: Sequence[jax.Device]) -> int:
    """Ends of connections in this process, over all different groups."""
    here = {at for at, device in enumerate(devices) if device.process_index == jax.process_index()}
    groups: set[tuple[int, ...]] = set()
    for line in program.splitlines():
        if "source_target_pairs=" in line:
            # Whoever may send or receive is in one group.
            groups.add(tuple(sorted({device for pair in groups_of(line, len(devices)) for device in pair})))
        elif "replica_groups=" in line:
            groups |= {tuple(group) for group in groups_of(line, len(devices))}
    return sum(len(local) * (len(group) - 1) for group in groups if (local := here & set(group)))
