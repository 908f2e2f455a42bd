"""Owns what a GGUF of an embedding model says under a key of this project's own."""

# Whether vectors have length 1. A file that does not say wants what llama.cpp's own programs do.
NORMALIZED_KEY = "jarvis.embedding.is_normalized"
