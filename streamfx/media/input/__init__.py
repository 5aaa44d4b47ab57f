"""Sources: files, pipes, network streams, cameras, stills and image sequences."""
