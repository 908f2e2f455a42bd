"""Makes small random models of every memory kind: `python scripts/make_memory_models.py FOLDER`.

Owns the command line. The models know nothing: they are for tests of what an engine keeps of a
sequence, where a wrong cell must show as another id.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Reads the command line and writes the files."""
    from scripts.memory_models.models import make_models

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the GGUF files go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in make_models(folder).values():
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
