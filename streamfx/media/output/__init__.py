"""Encoders, muxers and the files they write."""
