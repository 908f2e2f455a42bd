"""Owns threads with as large a stack as a native call may need. Knows nothing of the call.

A stack that is full ends the process. Of a large one only what was used takes memory, and it goes
with its thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from core.errors import EngineUnavailable

T = TypeVar("T")

# What a thread needs for all else; where a call's own need is larger, it is alone.
_BASE_BYTES = 1 << 20
_LARGE_BYTES = 64 << 20
_PAGE_BYTES = 4096
# The size that threads are made with is one number of the whole process.
_making = threading.Lock()
_large_calls = threading.Lock()


def call_with_stack(num_bytes: int, call: Callable[[], T]) -> T:
    """What `call` gives or raises. Raises EngineUnavailable where no such thread can be made."""
    if num_bytes <= _LARGE_BYTES:
        return _called(num_bytes, call)
    # What two use at the same time could be more than there is.
    with _large_calls:
        return _called(num_bytes, call)


def _called(num_bytes: int, call: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1, "deep-call") as threads:
        return _begun(threads, num_bytes, call).result()


def _begun(threads: ThreadPoolExecutor, num_bytes: int, call: Callable[[], T]) -> Future[T]:
    size = (_BASE_BYTES + num_bytes) // _PAGE_BYTES * _PAGE_BYTES
    with _making:
        before = threading.stack_size(size)
        try:
            return threads.submit(call)
        except RuntimeError as error:
            raise EngineUnavailable(f"no thread with a stack of {size} bytes: {error}") from error
        finally:
            threading.stack_size(before)
