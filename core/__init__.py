"""Values that every layer shares. Imports no other folder of the project."""
