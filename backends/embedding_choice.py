"""Opens the embedding backend that the settings name. The one place that knows all such engines."""

from dataclasses import replace
from functools import partial

from backends.daemon_thread import in_daemon_thread
from backends.embedding import EmbeddingBackend
from backends.model_checks.checking import check_model
from backends.model_source import Hub, ResolvedModel, resolve_model
from core.errors import ModelLoadError, ModelNotFoundOnHub
from core.settings import InferenceEngine, Settings

_PROBE = "backends.llama.embedding_probe"


async def open_embedding_backend(
    engine: InferenceEngine, model: str, settings: Settings
) -> EmbeddingBackend:
    """Finds or fetches the model, then makes its engine. Raises ModelLoadError."""
    chosen = settings.model_copy(update={"inference_engine": engine, "model_name": model})
    found = await in_daemon_thread(partial(find_embedding_model, chosen))
    await in_daemon_thread(partial(check_model, found.path))
    return embedding_backend(chosen, found)


def find_embedding_model(chosen: Settings, hub: Hub | None = None) -> ResolvedModel:
    """In the form that the engine reads itself, else in the other, which it converts. Blocks.

    Raises ModelLoadError, or ModelNotFoundOnHub where the hub is at fault.
    """
    find = partial(resolve_model, hub=hub, variable="JARVIS_EMBEDDING_MODEL")
    is_vllm = chosen.inference_engine is InferenceEngine.VLLM
    other = InferenceEngine.LLAMA_CPP if is_vllm else InferenceEngine.VLLM
    as_other = chosen.model_copy(update={"inference_engine": other})
    try:
        return find(chosen)
    except ModelLoadError as error:
        # To vLLM, a repository of GGUF files is one where nothing was found; llama.cpp sees at once
        # that a folder is none of its own.
        if isinstance(error, ModelNotFoundOnHub) is not is_vllm:
            raise
        problem = error
    try:
        return find(as_other)
    except ModelNotFoundOnHub:
        raise
    except ModelLoadError:
        raise problem from None


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
    probe_of = partial(ChildProbe, cache_dir=settings.cache_dir, program=_PROBE)
    return LlamaEmbeddingBackend(options, probe_of, settings.cache_dir)
