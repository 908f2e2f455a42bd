"""Makes small random models, one for each kind of memory that llama.cpp gives a model."""
