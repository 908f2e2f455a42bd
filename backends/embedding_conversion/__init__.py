"""Embedding models of BERT's kind, converted into what the chosen engine reads."""
