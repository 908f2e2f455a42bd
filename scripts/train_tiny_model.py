"""Makes the small model: `python scripts/train_tiny_model.py --out models/jarvis-tiny.gguf`.

Owns the command line. Knows no detail of what it starts.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "models" / "jarvis-tiny.gguf")
    parser.add_argument("--steps", type=int, default=3000, help="end after so many steps")
    parser.add_argument("--minutes", type=float, default=1e9, help="or after so many minutes")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes, on a CPU")
    parser.add_argument("--port", type=int, default=29_555, help="where the workers meet")
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--checkpoints", type=Path, help="folder for weights on the way")
    parser.add_argument("--evaluate", type=int, default=100, help="prompts a skill and format")
    parser.add_argument("--start", type=Path, help="such a folder, to go on from")
    return parser.parse_args()


def main() -> None:
    """Reads the command line and runs the recipe."""
    from scripts.tiny_model.recipe import Recipe
    from scripts.tiny_model.training import Plan
    from scripts.tiny_model.workers import start

    arguments = _arguments()
    checkpoints = arguments.checkpoints or Path(tempfile.mkdtemp(prefix="tiny-model-"))
    checkpoints.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        out=arguments.out,
        checkpoints=checkpoints,
        plan=Plan(steps=arguments.steps, minutes=arguments.minutes, rate=arguments.rate),
        batch_tokens=arguments.batch_tokens,
        device=arguments.device,
        seed=arguments.seed,
        start=arguments.start,
        num_evaluated=arguments.evaluate,
    )
    start(arguments.workers, arguments.port, recipe)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
