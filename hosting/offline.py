"""Owns JARVIS_OFFLINE: libraries are told, what the settings name elsewhere is refused at the
start, and whatever still tries to connect fails, in this process and in its Python children.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from core.addresses import is_own_name
from core.errors import ConfigurationError
from core.upstreams import UpstreamPlan
from hosting.outbound import refuse_outbound

# Last, vLLM would find its own address by a socket to a public one.
_TOLD = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",
}
# A proxy on this machine would carry anything out of it.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
_TRACE_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)
_CHILDREN = str(Path(__file__).resolve().parent / "children")


def go_offline(plan: UpstreamPlan, environ: MutableMapping[str, str]) -> None:
    """For good. `environ` is the process's own, which its children inherit.

    Raises ConfigurationError where something elsewhere was asked for.
    """
    check_nothing_elsewhere(plan, environ)
    for variable in [name for name in environ if name.lower() in _PROXIES]:
        del environ[variable]
    environ.update(_TOLD)
    paths = [_CHILDREN, environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # Where it was imported before, it has read its variable.
    hub = sys.modules.get("huggingface_hub.constants")
    if hub is not None:
        vars(hub)["HF_HUB_OFFLINE"] = True
    refuse_outbound()


def check_nothing_elsewhere(plan: UpstreamPlan, environ: Mapping[str, str]) -> None:
    """Raises ConfigurationError naming the first upstream or endpoint on another machine."""
    wanted = [(f"upstream {one.name}", url) for one in plan.upstreams for url in one.base_urls]
    wanted += [(name, environ[name]) for name in _TRACE_ENDPOINTS if environ.get(name)]
    for what, url in wanted:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
        if not is_own_name(host):
            raise ConfigurationError(
                f"JARVIS_OFFLINE=true, and {what} is on another machine ({host}): remove it, or"
                " set JARVIS_OFFLINE=false"
            )
