"""The load client: many streams from one light process, and the time of every event."""
