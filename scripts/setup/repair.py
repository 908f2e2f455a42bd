"""Owns finding packages that a killed installation left half written. Installs nothing."""

import shutil
from importlib.metadata import Distribution, distributions
from pathlib import Path


def forget_broken(site_packages: Path) -> tuple[str, ...]:
    """Removes the record of each half-written package, so that pip installs it again."""
    broken = []
    for record in site_packages.glob("*.dist-info"):
        if not _is_whole(Distribution.at(record)):
            shutil.rmtree(record)
            broken.append(record.name.partition("-")[0])
    return tuple(broken)


def installed(site_packages: Path) -> frozenset[str]:
    """The names of the packages that are there."""
    found = distributions(path=[str(site_packages)])
    return frozenset(item.name.lower().replace("_", "-") for item in found)


def _is_whole(distribution: Distribution) -> bool:
    files = distribution.files
    if not files:
        return False
    for file in files:
        if file.suffix == ".pyc" or file.size is None:
            continue
        path = Path(str(file.locate()))
        if not path.is_file() or path.stat().st_size != file.size:
            return False
    return True
