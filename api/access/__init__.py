"""Who may ask for what: keys, roles, limits of a key. Knows no engine."""
