"""Makes a GGUF of a Hugging Face embedding model of BERT's kind."""
