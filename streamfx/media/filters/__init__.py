"""FFmpeg filter graphs."""
