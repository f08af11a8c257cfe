"""Tables in Markdown, and the place in a Markdown file that a program writes: between `<!-- MARK -->` and
`<!-- /MARK -->`."""

import re
from collections.abc import Iterable
from pathlib import Path

from .atomic_write import atomic_write


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table; every line ends with a newline. Cells are written as they are."""
    head = list(head)
    lines = [f"| {' | '.join(map(str, row))} |\n" for row in (head, *rows)]
    return "".join([lines[0], "|" + "---|" * len(head) + "\n", *lines[1:]])


def marked(mark: str, text: str) -> str:
    """The text between its marks, as it stands in a file."""
    return f"<!-- {mark} -->\n{text}<!-- /{mark} -->"


def replace_between(path: Path, mark: str, text: str) -> bool:
    """Replaces what stands between the marks of a file; False, and nothing is written, where they are missing."""
    content = path.read_text(encoding="utf-8") if path.is_file() else ""
    pattern = re.compile(rf"<!-- {mark} -->\n.*?<!-- /{mark} -->", re.DOTALL)
    content, count = pattern.subn(lambda _: marked(mark, text), content)
    if count:
        with atomic_write(path) as part:
            part.write_text(content, encoding="utf-8")
    return bool(count)
