"""One file a group of skills, each a function from chance and scene to an exchange."""
