"""What the page needs of each view."""

from __future__ import annotations

from typing import Protocol


class View(Protocol):
    """One tab of the page."""

    def build(self) -> None:
        """Create the elements in the present container; called once."""
        ...

    def shown(self) -> None:
        """The tab has been opened."""
        ...

    def hidden(self) -> None:
        """Another tab has been opened."""
        ...

    def play(self) -> None:
        """The space bar was pressed."""
        ...
