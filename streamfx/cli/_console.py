"""The shared stderr console, so that messages appear above a running progress bar and not inside it."""

from rich.console import Console

STDERR = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
