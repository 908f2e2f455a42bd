"""Owns what the process says with its exit code. Forced by a second signal n, it is 128 + n."""

from enum import IntEnum


class ExitCode(IntEnum):
    """STOPPED: as it was told to. FAILED: a check failed, or starting or closing did.
    CONFIGURATION: the settings allow no start. ENGINE_LOST: an engine can't be brought back.
    """

    STOPPED = 0
    FAILED = 1
    CONFIGURATION = 2
    ENGINE_LOST = 3
