"""The one console on stderr, so that notes appear above a moving bar instead of inside it."""

from rich.console import Console

STDERR = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
