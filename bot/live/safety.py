"""Safe mode: loading the plugins has ended workers again and again, so none is loaded but those that an admin asks for.

Pure. The planner asks what to leave out; the reloader says what was asked for. All of them at once end it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection


class Safety:
    """Whether a bot is in safe mode, and what of its plugins it may load.

    Attributes:
        on_end: called when an admin ends it.
    """

    def __init__(self) -> None:
        self.on_end: Callable[[], object] = lambda: None
        self._only: set[str] | None = None

    @property
    def on(self) -> bool:
        """Whether it is in force."""
        return self._only is not None

    def begin(self) -> None:
        """Leave out everything from now on."""
        self._only = set()

    def asked(self, names: Collection[str], everything: bool) -> None:
        """An admin wants these plugins, or all."""
        if self._only is not None and everything:
            self._only = None
            self.on_end()
        elif self._only is not None:
            self._only.update(names)

    def leaves_out(self, name: str) -> bool:
        """Tell whether a plugin is not to be loaded."""
        return self._only is not None and name not in self._only
