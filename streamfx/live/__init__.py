"""Process a live stream and control it while it runs."""
