"""Makes models, or shows where they are: python -m benchmarks.models [NAME ...]."""

import argparse

from benchmarks.models.cached import model_file
from benchmarks.models.shapes import NAMES


def main() -> None:
    flags = argparse.ArgumentParser(prog="python -m benchmarks.models")
    flags.add_argument("names", nargs="*", choices=[[], *NAMES], default=[], help="all by default")
    for name in flags.parse_args().names or NAMES:
        print(model_file(name))


if __name__ == "__main__":
    main()
