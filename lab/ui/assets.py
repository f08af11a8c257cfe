"""The page's scripts, style sheets and HTML fragments, which lie beside the Python that uses them."""

from pathlib import Path

ROOT = Path(__file__).parent


def text(*paths: str) -> str:
    """The files of these paths below `lab/ui`, such as "panel/panel.css", one after the other."""
    return "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)
