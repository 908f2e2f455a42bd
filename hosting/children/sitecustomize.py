"""Python runs this first in each child of an offline server, whose folder is in PYTHONPATH then:
nothing of it leaves the machine either.
"""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])


def _guard() -> None:
    """Leaves no module of ours behind, as a child may have others of these names."""
    sys.path.insert(0, _ROOT)
    before = set(sys.modules)
    from hosting.outbound import refuse_outbound

    refuse_outbound()
    sys.path.remove(_ROOT)
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("core", "hosting"):
            del sys.modules[name]


if __name__ == "sitecustomize":
    _guard()
