"""Servers that speak OpenAI's API, reached over HTTP."""
