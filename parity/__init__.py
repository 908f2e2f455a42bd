"""Runs a model through both engines, and says whether one may stand in for the other."""
