"""Which models are answered here and which by other servers, and the latter's answers."""
