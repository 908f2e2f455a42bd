"""Owns the environment variables that llama.cpp's libraries read. Knows nothing else of them."""

import os

# GNU OpenMP's threads spin for milliseconds at each of a step's some hundred barriers. Where
# another program, or our own event loop, takes a core away for a moment, they burn the others
# waiting: on two cores a step took 77 ms instead of 5. So short a spin costs a quiet machine
# nothing measurable (docs/performance.md).
_SPINS = "1000"


def prepare() -> None:
    """Call it before the native library is loaded. What is set wins."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    # Where a debugger is installed, ggml has it look at a process that failed an assertion, for
    # seconds; where two threads fail one, two debuggers wait for each other, and the process hangs
    # instead of ending.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
