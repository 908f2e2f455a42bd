"""The lines that tell how requests ended, in words."""

import pytest


def reply_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """`name=value …`, with - for what is not known."""
    facts = [r.__dict__["facts"] for r in caplog.records if r.name == "api.reply_log"]
    return [
        " ".join(f"{name}={'-' if value is None else value}" for name, value in each.items())
        for each in facts
    ]
