"""Opens the backend that the settings name. The one place that knows all engines by name."""

from collections.abc import Callable
from functools import partial

from backends.base import Backend
from backends.daemon_thread import in_daemon_thread
from backends.model_checks.checking import check_model
from backends.model_source import resolve_model
from core.lifecycle import LoadProgress
from core.settings import InferenceEngine, Settings


async def open_backend(settings: Settings, report: Callable[[LoadProgress], None]) -> Backend:
    """Finds or fetches the model, then makes its engine. Raises ModelLoadError."""
    report(LoadProgress(f"finding {settings.model_name}"))
    resolved = await in_daemon_thread(partial(resolve_model, settings))
    await in_daemon_thread(partial(check_model, resolved.path))
    # Engines are imported only when chosen: the other one may not be installed.
    if settings.inference_engine is InferenceEngine.VLLM:
        from backends.vllm_engine.backend import VllmBackend

        return VllmBackend(settings, resolved.path)
    from backends.llama.backend import LlamaBackend
    from backends.llama.from_settings import llama_options
    from backends.llama.probing import ChildProbe

    options = llama_options(settings, resolved.path)
    return LlamaBackend(options, ChildProbe(options, settings.cache_dir))
