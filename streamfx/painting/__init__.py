"""What makes a painting good, and painting by going there step by step."""
