"""What glibc keeps of freed memory, in processes of their own: what is set lasts as long as one."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's rules")

ALLOCATING = """
import ctypes
from core import heap

library = ctypes.CDLL(None)
library.malloc.restype = library.memset.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

class Counts(ctypes.Structure):
    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]

library.mallinfo2.restype = Counts
num_mapped = lambda: library.mallinfo2().field_3

def resident():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * 4096
"""


def printed(script: str, **environ: str) -> str:
    command = [sys.executable, "-c", ALLOCATING + script]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


# A large block comes and goes first, as a large body does.
LARGE_BLOCKS = """
library.free(library.malloc(16 << 20))
before = num_mapped()
blocks = [library.malloc(5 << 20) for _ in range(3)]
print(num_mapped() - before)
"""


def test_large_blocks_stay_apart_from_the_heap() -> None:
    assert printed("heap.keep_small()" + LARGE_BLOCKS) == "3"


def test_it_is_glibcs_own_rule_that_they_do_not() -> None:
    assert printed(LARGE_BLOCKS) == "0"


def test_what_is_set_in_the_environment_wins() -> None:
    script = "heap.keep_small()" + LARGE_BLOCKS
    assert printed(script, MALLOC_MMAP_THRESHOLD_=str(8 * MIB)) == "0"


# All of them at once, so that each would have a heap of its own.
MANY_THREADS = """
import threading

together = threading.Barrier(6)
def work():
    together.wait(10)
    library.malloc(2000)
    together.wait(10)

threads = [threading.Thread(target=work) for _ in range(6)]
[each.start() for each in threads]
[each.join() for each in threads]
library.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, out)
library.fflush(out)
"""


def test_threads_share_two_heaps() -> None:
    assert printed("heap.keep_small()" + MANY_THREADS).count("<heap nr=") <= 2
    assert printed(MANY_THREADS).count("<heap nr=") > 2


def test_what_was_left_alone_is_looked_at_again_the_next_time() -> None:
    script = """
import gc, weakref

class Cycle:
    pass

cycle = Cycle()
cycle.own = cycle
seen = weakref.ref(cycle)
heap.leave_alone()
del cycle
gc.collect()
print(gc.get_freeze_count() > 1000, seen() is None)
heap.leave_alone()
print(seen() is None)
"""
    assert printed(script) == "True False\nTrue"


def test_gaps_between_what_is_in_use_are_given_back() -> None:
    script = """
large, small = [], []
for _ in range(100):
    large.append(library.malloc(100_000))
    library.memset(large[-1], 1, 100_000)
    small.append(library.malloc(20_000))
for each in large:
    library.free(each)
before = resident()
heap.give_back()
print(before - resident())
"""
    assert int(printed(script)) > 8 * MIB
