"""The views of the page, one per tab."""
