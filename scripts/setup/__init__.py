"""Set-up of the virtual environment with the standard library alone: nothing is installed yet."""
