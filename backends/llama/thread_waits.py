"""Owns how llama.cpp's CPU threads wait for each other. Knows nothing else of llama.cpp."""

import os

# GNU OpenMP's threads spin for milliseconds at each of a step's some hundred barriers. Where
# another program, or our own event loop, takes a core away for a moment, they burn the others
# waiting: on two cores a step took 77 ms instead of 5. So short a spin costs a quiet machine
# nothing measurable (docs/performance.md).
_SPINS = "1000"


def shorten() -> None:
    """Call it before the native library is loaded, which reads it once. What is set wins."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
