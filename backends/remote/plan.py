"""Owns what the file of upstreams and the variables for one vLLM server say together.

Connects to nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends.remote.base_urls import base_url_of
from backends.remote.secrets import checked_secret
from backends.remote.upstreams_file import read_upstreams
from core.errors import ConfigurationError
from core.setting_types import InferenceEngine
from core.settings import Settings
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan, UpstreamTimeouts

DEFAULT_FILE = Path("upstreams.toml")
_VLLM_NAME = "vllm"


def plan_of(
    settings: Settings, environ: Mapping[str, str], default_file: Path = DEFAULT_FILE
) -> UpstreamPlan:
    """Raises ConfigurationError, also where no other engine is wanted and no server is named.

    `default_file` is read where there is one and the settings name none.
    """
    path = settings.upstreams_file
    if path is None and default_file.is_file():
        path = default_file
    plan = UpstreamPlan() if path is None else read_upstreams(path, environ)
    single = _vllm_upstream(settings)
    if single is not None:
        if any(upstream.name == single.name for upstream in plan.upstreams):
            raise ConfigurationError(
                f"{path} has an upstream named {single.name}, and so has VLLM_BASE_URL; leave one"
                " out, or name the file's otherwise"
            )
        plan = replace(plan, upstreams=(*plan.upstreams, single))
    _refuse_leak(settings, plan)
    if settings.inference_engine is InferenceEngine.REMOTE and not plan.upstreams:
        raise ConfigurationError(
            "JARVIS_INFERENCE_ENGINE=remote needs a server that answers: give VLLM_BASE_URL, or"
            " name one in upstreams.toml (upstreams.example.toml shows how)"
        )
    return plan


def _refuse_leak(settings: Settings, plan: UpstreamPlan) -> None:
    """Where this server has keys of its own, clients' keys are those."""
    leaking = next((each.name for each in plan.upstreams if each.passes_client_key), None)
    if settings.api_keys is not None and leaking is not None:
        raise ConfigurationError(
            f"the upstream {leaking} is sent clients' keys (pass_client_key), which with"
            " JARVIS_API_KEYS are this server's own: give it an api_key, or leave one of the two"
            " out"
        )


def _vllm_upstream(settings: Settings) -> Upstream | None:
    if settings.vllm_base_url is None:
        return None
    total_s = settings.vllm_timeout_seconds
    key = settings.vllm_api_key
    try:
        url = base_url_of(settings.vllm_base_url, UpstreamKind.VLLM)
    except ValueError as error:
        raise ConfigurationError(f"VLLM_BASE_URL: {error}") from None
    try:
        checked_key = None if key is None else checked_secret(key.get_secret_value())
    except ValueError as error:
        raise ConfigurationError(f"VLLM_API_KEY: {error}") from None
    usual = UpstreamTimeouts()
    return Upstream(
        name=_VLLM_NAME,
        kind=UpstreamKind.VLLM,
        base_urls=(url,),
        api_key=checked_key,
        default_model=settings.vllm_default_model,
        # One number for all waits: an answer that comes whole may take all of it to begin.
        timeouts=UpstreamTimeouts(min(usual.connect_s, total_s), total_s, total_s),
        max_retries=settings.vllm_max_retries,
        verify_ssl=settings.vllm_verify_ssl,
    )
