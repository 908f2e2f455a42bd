"""The llama.cpp engine: our own scheduling over its C API."""
