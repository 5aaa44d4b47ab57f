"""Timelines: videos described as TOML files of sections."""
