"""Networks to dream with, objectives, and gradient ascent."""
