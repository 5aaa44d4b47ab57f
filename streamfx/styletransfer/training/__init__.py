"""Paintings and photos -> the weights of a style network."""
