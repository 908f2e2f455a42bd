"""Owns the training loop: optimisers, schedule, checkpoints. Knows no skill and no file format."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.tiny_model.network import TinyLlama
from scripts.tiny_model.samples import Batch
from scripts.tiny_model.workers import Crew


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast. Training ends with the steps or with the minutes, what comes first."""

    steps: int
    minutes: float
    rate: float = 6e-3
    warm_up: float = 0.02
    report_every_steps: int = 20
    save_every_s: float = 240.0


@dataclass(slots=True)
class Progress:
    """What the loop has done so far."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0

    def count(self, loss: float, tokens: int, seconds: float) -> None:
        """One more step; the loss is a running mean."""
        self.loss += (loss - self.loss) * (0.02 if self.steps else 1.0)
        self.steps += 1
        self.tokens += tokens
        self.seconds = seconds

    def share(self, plan: Plan) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, max(self.steps / plan.steps, self.seconds / (60 * plan.minutes)))


@dataclass(frozen=True, slots=True)
class Work:
    """Where batches come from, given the share of training that is done, and what is told when."""

    next_batch: Callable[[float], Batch]
    on_report: Callable[[Progress], None]
    on_save: Callable[[Progress], None]


def rate_factor(share: float, warm_up: float) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if share < warm_up:
        return (share + 1e-3) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))


def optimisers(network: TinyLlama, rate: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the blocks' matrices, AdamW for embeddings and norms."""
    matrices = [weight for weight in network.blocks.parameters() if weight.ndim == 2]
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in network.parameters() if id(weight) not in taken]
    return (
        torch.optim.Muon(
            matrices, lr=rate, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    )


def batch_loss(network: TinyLlama, batch: Batch, device: torch.device) -> Tensor:
    """Weighted cross-entropy over the targets that count."""
    inputs, targets, weights = (
        torch.from_numpy(array).to(device) for array in (batch.inputs, batch.targets, batch.weights)
    )
    with torch.autocast(device.type, dtype=torch.bfloat16):
        states = network(inputs)
        counted = weights > 0
        logits = network.logits(states[counted])
    losses = functional.cross_entropy(logits.float(), targets[counted], reduction="none")
    return (losses * weights[counted]).sum() / weights.sum()


def train(network: TinyLlama, work: Work, plan: Plan, crew: Crew) -> Progress:
    """Trains in place; reports and saves on the way, the first process of the crew alone."""
    device = next(network.parameters()).device
    steppers = optimisers(network, plan.rate)
    progress, started, saved_at, share = Progress(), time.monotonic(), 0.0, 0.0
    while share < 1.0:
        for stepper in steppers:
            stepper.param_groups[0]["lr"] = plan.rate * rate_factor(share, plan.warm_up)
        batch = work.next_batch(share)
        loss = batch_loss(network, batch, device)
        loss.backward()
        share = crew.agree(network, progress.share(plan))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        progress.count(loss.item(), batch.inputs.size * crew.size, time.monotonic() - started)
        if crew.rank == 0 and progress.steps % plan.report_every_steps == 0:
            work.on_report(progress)
        if crew.rank == 0 and progress.seconds - saved_at > plan.save_every_s:
            saved_at = progress.seconds
            work.on_save(progress)
    return progress
