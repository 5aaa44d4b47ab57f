"""Painting and photos -> the weights of a painter and a preset."""
