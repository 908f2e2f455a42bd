"""Owns what the crowd's process is told, and what it reports: plain values, JSON between."""

import msgspec


class KeyFile(msgspec.Struct, frozen=True):
    """Where the server's keys are, and which it has from its start on. `spare` comes and goes."""

    path: str
    keys: dict[str, str]
    spare: str


class CrowdPlan(msgspec.Struct, frozen=True):
    """All clients of one phase. `canaries`: what each has answered before, by name."""

    port: int
    server_pid: int
    num_clients: int
    seconds: float
    seed: str
    window: int
    key_file: KeyFile
    canaries: dict[str, str] = {}


class Fault(msgspec.Struct):
    """One kind of thing that should not have been, and the first of it in words."""

    kind: str
    what: str
    count: int = 0


class CrowdResult(msgspec.Struct):
    """What the clients saw. `outcomes`: how often each kind of request ended in each way.

    Of the requests whose head the server got whole, `whole_by_status` were answered to their end,
    and of `num_cut` the client can't know what the server made of them. `num_unsent` were cut
    before. Times are those of the kind of clients that do nothing wrong.
    """

    outcomes: dict[str, dict[str, int]] = {}
    faults: list[Fault] = []
    whole_by_status: dict[int, int] = {}
    num_cut: int = 0
    num_unsent: int = 0
    # Whose end the server tells in a line of its log.
    num_told: int = 0
    first_text_s: list[float] = []
    gaps_s: list[float] = []
    canaries: dict[str, str] = {}
    num_canaries: int = 0
    num_reloads: int = 0

    @property
    def num_sent(self) -> int:
        return sum(self.whole_by_status.values()) + self.num_cut
