"""Opens the embedding backend that the settings name. The one place that knows all such engines."""

from dataclasses import replace
from functools import partial

from backends.daemon_thread import in_daemon_thread
from backends.embedding import EmbeddingBackend
from backends.model_source import ResolvedModel, resolve_model
from core.settings import InferenceEngine, Settings

_PROBE = "backends.llama.embedding_probe"


async def open_embedding_backend(
    engine: InferenceEngine, model: str, settings: Settings
) -> EmbeddingBackend:
    """Finds or fetches the model, then makes its engine. Raises ModelLoadError."""
    chosen = settings.model_copy(update={"inference_engine": engine, "model_name": model})
    resolved = await in_daemon_thread(
        partial(resolve_model, chosen, variable="JARVIS_EMBEDDING_MODEL")
    )
    return embedding_backend(chosen, resolved)


def embedding_backend(settings: Settings, model: ResolvedModel) -> EmbeddingBackend:
    """Not started yet. The settings name the engine; the model is on this machine."""
    # Engines are imported only when chosen: the other one may not be installed.
    if settings.inference_engine is InferenceEngine.VLLM:
        from backends.vllm_engine.embedding_backend import VllmEmbeddingBackend

        return VllmEmbeddingBackend(settings, model.path, model.model_id)
    from backends.llama.embedding_backend import LlamaEmbeddingBackend
    from backends.llama.from_settings import llama_options
    from backends.llama.probing import ChildProbe

    options = replace(llama_options(settings, model.path), model_name=model.model_id)
    return LlamaEmbeddingBackend(options, ChildProbe(options, settings.cache_dir, _PROBE))
