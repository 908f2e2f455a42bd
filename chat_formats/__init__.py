"""Messages to prompt and generated text to message, one file a format. Knows no engine, no HTTP."""
