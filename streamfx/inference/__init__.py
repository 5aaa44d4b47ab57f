"""Compiled networks, their cache, and weights on disk."""
