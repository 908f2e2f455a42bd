"""The body of a request for a response: its fields, its items, its tools and its text's format."""
