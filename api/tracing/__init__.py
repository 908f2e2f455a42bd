"""Requests as OpenTelemetry spans. Without an endpoint in the environment it is not loaded."""
