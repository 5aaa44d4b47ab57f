"""Files, pipes, cameras and FFmpeg filters: the only folder that imports av."""
