"""Whether a model file or folder may be given to an engine, before any native parser sees it."""
