"""Which processes this one has below it, for tests of what must be gone."""

from contextlib import suppress


def descendants() -> dict[int, str]:
    """Their names by id, but for the tracker that Python keeps for as long as it runs, and those
    that have ended and wait to be collected. Engines that other suites share may be among them.
    """
    import psutil

    living: dict[int, str] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "resource_tracker" not in " ".join(process.cmdline()):
                living[process.pid] = process.name()
    return living
