"""Owns what this process's heaps keep, Python's and the C library's. Knows nobody who asks for it.

Of C libraries it knows glibc alone: with another one nothing is done.
"""

import ctypes
import gc
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MOST_KEPT = 2 << 20
_OWN_MAPPING = 4 << 20
_NUM_HEAPS = 2


def keep_small() -> None:
    """Call it early. Large blocks go back to the system when they are freed, and of what is free at
    a heap's end little is kept.

    glibc does so too at first, but raises both thresholds for good with each larger block that is
    freed, up to 32 and 64 MiB: one body of 16 MiB, and every thread's heap keeps as much for ever.
    And it has up to eight heaps a core, each with gaps of its own; Python's lock lets one thread at
    a time ask for memory anyway. What is set in the environment wins.
    """
    is_set = any(name in os.environ for name in _VARIABLES)
    library = _library()
    if not is_set and hasattr(library, "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
        library.mallopt(_MMAP_THRESHOLD, _OWN_MAPPING)
        library.mallopt(_ARENA_MAX, _NUM_HEAPS)


def leave_alone() -> None:
    """What Python holds now is looked through no more for garbage, until the next call: with vLLM
    imported a look takes a third of a second, in which every stream stops.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """All whole pages that are free, between what is in use too. Takes a millisecond for some MiB;
    threads that ask for memory wait meanwhile.
    """
    library = _library()
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


_VARIABLES = (
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX"),
    "GLIBC_TUNABLES",
)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
