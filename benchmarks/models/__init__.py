"""GGUF files to measure with: random weights in real shapes, and answers that never end early."""
