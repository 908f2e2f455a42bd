"""The child process that tries an embedding model: loads it, computes two inputs, and exits.

Its exit codes are those of `probe.py`. Knows no server.
"""

import sys

from backends.llama import native_environment
from backends.llama.options import LlamaOptions
from backends.llama.probe import read_options
from backends.parent_watch import end_with_parent
from core.errors import JarvisError

_NUM_TRIED = 16


def try_model(options: LlamaOptions) -> None:
    """Two inputs of two lengths in one batch."""
    native_environment.prepare()
    # Here and not at the top: importing the bindings loads the native library.
    from backends.llama.bindings import LogRoute
    from backends.llama.embedder import Embedder

    route = LogRoute(options.log_level)
    embedder = Embedder(options, lambda _share: True, route)
    embedder.compute([(0,) * _NUM_TRIED, (0,)])
    embedder.close()
    route.close()


def main() -> int:
    end_with_parent(int(sys.argv[2]))
    try:
        try_model(read_options(sys.argv[1]))
    except JarvisError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
