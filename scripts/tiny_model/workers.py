"""Owns several processes training one network together. Knows no data and no schedule.

Two processes of one thread each wait for one another once a step, not once an operation, so that
other work on the same cores slows them far less than two threads in one process.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import distributed, multiprocessing, nn


@dataclass(frozen=True, slots=True)
class Crew:
    """This process's place among those that train together."""

    rank: int = 0
    size: int = 1

    def agree(self, network: nn.Module, share: float) -> float:
        """Averages gradients in place, and gives the average of what the processes pass as share.

        Every process goes on with the same number, so that clocks can't drive weights apart.
        """
        if self.size == 1:
            return share
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([share])])
        distributed.all_reduce(flat)
        flat /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat[:-1].split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))
        return float(flat[-1])


def start(size: int, port: int, work: Callable[[Crew], None]) -> None:
    """Runs `work` in each of `size` processes; it must be importable by name."""
    if size == 1:
        work(Crew())
        return
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    multiprocessing.spawn(_join, args=(size, work), nprocs=size)


def _join(rank: int, size: int, work: Callable[[Crew], None]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=size)
    work(Crew(rank, size))
    distributed.destroy_process_group()
