"""A progress bar on the terminal."""

from __future__ import annotations

from typing import Self

from tqdm import tqdm


class ProgressBar:
    """The `Report` of a command: shows a fraction and a message, and nothing where the output is not a terminal.

    A context manager, so that the bar is gone before the results are printed.
    """

    def __init__(self, title: str):
        self.bar = tqdm(total=1000, bar_format="{l_bar}{bar}| {postfix}", desc=title, disable=None, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, fraction: float, message: str) -> None:
        """Shows the message and moves the bar to the fraction in [0, 1]; a lower one than before starts it again."""
        position = int(1000 * fraction)
        self.bar.set_postfix_str(message, refresh=False)
        self.bar.update(max(0, position - self.bar.n))
        if position == 0 or position < self.bar.n:
            self.bar.reset()

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        self.bar.clear()
        print(text, flush=True)
