"""The JavaScript client's set-up: what its lock says, and npm's failures in a line."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.setup.environment import Environment
from scripts.setup.errors import SetupError
from scripts.setup.npm_runs import Npm

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "clients" / "javascript"
# npm and Node.js start slowly on a busy machine.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    return Npm(Environment(Path(sys.prefix)).site_packages, tmp_path / "setup.log")


def package(folder: Path, **dependencies: str) -> None:
    """A package with a lock that names the same."""
    own = {"name": "x", "dependencies": dependencies}
    locked: dict[str, Any] = {"": own}
    for name, version in dependencies.items():
        # Of nothing in particular: npm must ask for it, not find it in a cache.
        locked[f"node_modules/{name}"] = {"version": version, "integrity": f"sha512-{'A' * 86}=="}
    lock = {"name": "x", "lockfileVersion": 3, "requires": True, "packages": locked}
    (folder / "package.json").write_text(json.dumps(own))
    (folder / "package-lock.json").write_text(json.dumps(lock))


def test_the_lock_pins_exactly_what_is_asked_for_and_names_no_registry() -> None:
    wanted = json.loads((PROGRAMS / "package.json").read_text())["dependencies"]
    lock = json.loads((PROGRAMS / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    pinned = {f"node_modules/{name}": version for name, version in wanted.items()}
    assert {name: packages[name]["version"] for name in pinned} == pinned
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())


def test_an_empty_lock_is_installed(npm: Npm, tmp_path: Path) -> None:
    package(tmp_path)
    npm.install(tmp_path)
    assert "$ npm ci" in npm.log.read_text()


def test_an_unreachable_registry_is_one_line_with_the_remedy(
    npm: Npm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, openai="1.0.0")
    # A port that nothing listens on.
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(SetupError, match=r"npm registry can't be reached.*run this again") as told:
        npm.install(tmp_path)
    assert "\n" not in str(told.value)
    assert str(npm.log) in str(told.value)


def test_another_failure_is_told_in_npm_s_words(npm: Npm, tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "package-lock.json").write_text("{")
    with pytest.raises(SetupError, match=r"npm failed: .+details: ") as told:
        npm.install(tmp_path)
    assert "\n" not in str(told.value)


def test_a_missing_node_is_one_line(tmp_path: Path) -> None:
    npm = Npm(tmp_path, tmp_path / "setup.log")
    with pytest.raises(SetupError, match=r"Node\.js does not start"):
        npm.install(tmp_path)
