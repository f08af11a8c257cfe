"""Measured rows, the studies gathered from them, and their comparison with what the papers claim."""
