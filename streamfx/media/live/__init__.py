"""Live sources and targets: network streams, cameras, and their timing."""
