"""Owns what is told apart among methods and routes wherever requests are counted or logged."""

# Others are told as one: clients can make up as many as they like.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What machines ask every few seconds. It is no work, and answered while the server stops.
QUIET_ROUTES = frozenset({"/health", "/health/ready", "/metrics"})
