"""Makes the small model that ships: dialogues, tokenizer, network, training, export, evaluation."""
