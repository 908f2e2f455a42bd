"""Requests that other servers answer."""
