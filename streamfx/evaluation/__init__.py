"""Evaluation: temporal coherence of processed videos, and kernels compared with their reference implementations."""
