"""Owns the recipe: tokenizer, network, data in stages, exports. Knows no command line."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from scripts.tiny_model.bpe import Bpe, train_bpe
from scripts.tiny_model.dialogues import all_skills, short_skills
from scripts.tiny_model.evaluation import scores, table
from scripts.tiny_model.gguf_export import export
from scripts.tiny_model.network import Shape, TinyLlama
from scripts.tiny_model.samples import Batch, batches, tokenizer_texts, training_samples
from scripts.tiny_model.training import Plan, Progress, Work, train
from scripts.tiny_model.workers import Crew

SHORT_SHARE = 0.35
EVALUATION_SEED = 99
TOKENIZER_DIALOGUES = 20_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run is made of. `start` is an earlier run's folder; from it all skills are taught."""

    out: Path
    checkpoints: Path
    plan: Plan
    batch_tokens: int
    device: str
    seed: int
    start: Path | None = None
    num_evaluated: int = 100

    def __call__(self, crew: Crew) -> None:
        """One process's part of the run."""
        torch.manual_seed(self.seed)
        bpe = self._tokenizer()
        network = TinyLlama(Shape()).to(self.device)
        if self.start:
            network.load_state_dict(torch.load(self.start / "weights.pt"))

        def save(progress: Progress) -> None:
            bpe.save(self.checkpoints / "bpe.json")
            torch.save(network.state_dict(), self.checkpoints / "weights.pt")
            export(network, bpe, self.out)
            print(f"exported={self.out} step={progress.steps}", flush=True)

        work = Work(self._stages(bpe, crew), _report, save)
        progress = train(network, work, self.plan, crew)
        if crew.rank == 0:
            save(progress)
            print(table(list(scores(network, bpe, EVALUATION_SEED, self.num_evaluated))))

    def _tokenizer(self) -> Bpe:
        if self.start:
            return Bpe.load(self.start / "bpe.json")
        return train_bpe(tokenizer_texts(self.seed, TOKENIZER_DIALOGUES))

    def _stages(self, bpe: Bpe, crew: Crew) -> "Stages":
        seed = self.seed + 1 + 2 * crew.rank
        short_share = 0.0 if self.start else SHORT_SHARE
        return Stages(bpe, seed, self.batch_tokens // crew.size, short_share)


class Stages:
    """Batches: at first of the skills with short prompts alone, then of all."""

    def __init__(self, bpe: Bpe, seed: int, tokens: int, short_share: float) -> None:
        self._short_share = short_share
        short = training_samples(seed, bpe, short_skills())
        full = training_samples(seed + 1, bpe, all_skills())
        self._short = batches(short, tokens, Random(seed))
        self._full = batches(full, tokens, Random(seed + 1))

    def __call__(self, share: float) -> Batch:
        """The next batch, after `share` of the training."""
        return next(self._short if share < self._short_share else self._full)


def _report(progress: Progress) -> None:
    print(
        f"step={progress.steps} tokens={progress.tokens} loss={progress.loss:.4f} "
        f"minutes={progress.seconds / 60:.1f} "
        f"tokens_per_s={progress.tokens / progress.seconds:.0f}",
        flush=True,
    )
