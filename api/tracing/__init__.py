"""Requests as OpenTelemetry spans. Without an endpoint in the environment none of it is loaded."""
