"""The request bodies: what each field may hold, and how a wrong one is named."""
