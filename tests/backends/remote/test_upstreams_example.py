"""The example of a file of upstreams: what it shows is what can be read."""

import re
from pathlib import Path

from backends.remote.upstream_table import BreakerTable, TimeoutsTable, UpstreamTable
from backends.remote.upstreams_file import read_upstreams
from core.upstreams import UpstreamPlan

EXAMPLE = Path(__file__).resolve().parents[3] / "upstreams.example.toml"
ENVIRON = {"GPU_BOX_API_KEY": "a", "OPENROUTER_API_KEY": "b", "GATEWAY_TOKEN": "c"}


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=[^# \n])", "", text, flags=re.MULTILINE)


def read(text: str, folder: Path) -> UpstreamPlan:
    path = folder / "upstreams.toml"
    path.write_text(text)
    return read_upstreams(path, ENVIRON)


def test_it_changes_nothing_as_it_is() -> None:
    assert read_upstreams(EXAMPLE, {}) == UpstreamPlan()


def test_it_can_be_read_without_its_comment_signs(tmp_path: Path) -> None:
    plan = read(uncommented(EXAMPLE.read_text()), tmp_path)
    assert [upstream.name for upstream in plan.upstreams] == ["gpu-box", "openrouter"]
    assert len(plan.upstreams[0].base_urls) == 2
    assert set(plan.fallbacks) == {"meta-llama/Llama-3.2-3B-Instruct"}


def test_it_shows_every_field() -> None:
    shown = set(re.findall(r"^#*([a-z_]+) = ", EXAMPLE.read_text(), flags=re.MULTILINE))
    tables = (UpstreamTable, TimeoutsTable, BreakerTable)
    fields = {name for table in tables for name in table.model_fields}
    assert fields - shown == {"timeouts", "breaker", "extra_headers"}, "these are tables"


def test_its_other_ways_hold_in_place_of_the_lines_above(tmp_path: Path) -> None:
    (tmp_path / "our-ca.pem").write_text("")
    lines: list[str] = []
    for line in uncommented(EXAMPLE.read_text()).splitlines():
        if line.startswith("##"):
            above = max(i for i, each in enumerate(lines) if each and not each.startswith("#"))
            lines[above] = ""
        lines.append(line.removeprefix("##"))
    upstream = read("\n".join(lines), tmp_path).upstreams[0]
    assert upstream.ca_file == tmp_path / "our-ca.pem"
    assert set(upstream.models) == {"llama", "qwen"}
    assert set(upstream.extra_headers) == {"X-Gateway-Token"}
