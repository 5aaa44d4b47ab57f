"""Measures of processed video: temporal coherence, and kernels compared with their twins."""
