"""Installs what the chosen engine needs into `.venv`, and nothing that is there already.

Run by ./run.sh, with the standard library alone. A finished set-up is checked without network.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.setup.components import Component, needed
from scripts.setup.environment import Environment, require_space
from scripts.setup.errors import SetupError
from scripts.setup.installing import Installer
from scripts.setup.repair import forget_broken
from scripts.setup.wishes import Purpose, Wishes, wishes

_ROOT = Path(__file__).resolve().parent.parent
_OLDEST_PYTHON = (3, 11)


def main(arguments: Sequence[str]) -> int:
    """`test`, `bench`, or anything else with the server's own flags. Returns the exit code."""
    word = arguments[0] if arguments else ""
    purpose = Purpose(word) if word in tuple(Purpose) else Purpose.SERVE
    try:
        _set_up(wishes(arguments, purpose=purpose, environ=os.environ, root=_ROOT))
    except SetupError as error:
        print(f"run.sh: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"run.sh: the set-up could not write or read a file: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun.sh: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


def _set_up(wanted: Wishes) -> None:
    environment = Environment(_ROOT / ".venv")
    components = needed(wanted, _ROOT)
    if not _missing(components, environment):
        return
    with environment.locked():
        environment.ensure()
        if environment.stamps.has_interrupted:
            forget_broken(environment.site_packages)
        missing = _missing(components, environment)
        require_space(environment.folder, sum(component.disk_gb for component in missing))
        for component in missing:
            _install(component, Installer(environment, wanted.cache_dir))


def _missing(components: Sequence[Component], environment: Environment) -> tuple[Component, ...]:
    stamps = environment.stamps
    return tuple(c for c in components if not stamps.is_current(c.kind, c.fingerprint))


def _install(component: Component, installer: Installer) -> None:
    print(f"installing {component.title} (log: .venv/setup.log)", flush=True)
    stamps = installer.environment.stamps
    stamps.begin(component.kind)
    installer.install(component)
    stamps.finish(component.kind, component.fingerprint)


if __name__ == "__main__":
    if sys.version_info < _OLDEST_PYTHON:
        sys.exit("run.sh: Python 3.11 or newer is needed")
    sys.exit(main(sys.argv[1:]))
