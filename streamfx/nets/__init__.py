"""Networks and their weights; they know nothing of video."""
