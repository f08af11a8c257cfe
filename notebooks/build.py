"""Builds the notebooks: `python notebooks/build.py [NAME ...]` runs each source and writes it with its outputs.

`source/NAME.py` is in jupytext's percent format. A cell tagged `solution` runs with the others, so that it cannot be
wrong, and is then folded away in Markdown, so that it spoils no exercise. Equal runs give equal bytes.
LAB_REPO (user/name at GitHub, or its address) adds a badge that opens the notebook in Colab; without it there is none.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode, v4
from PIL import Image

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "source").glob("*.py"))
COLAB = "https://colab.research.google.com"
SETUP = """\
# On Colab, this cell fetches the project and its requirements; elsewhere, it finds the checkout around the notebook.
import os
import subprocess
import sys

REPO = "{repo}"
if "google.colab" in sys.modules:
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"https://github.com/{{REPO}}", "/content/lab"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-r", "/content/lab/requirements.txt"], check=True)
    os.chdir("/content/lab/notebooks")
sys.path.insert(0, os.path.abspath(".."))"""


def repository(address: str) -> str:
    """ "user/name" of a GitHub repository, from that or from its address; "" from "". ValueError for another host."""
    name = re.fullmatch(r"(?:https?://github\.com/|git@github\.com:)?([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    if address and not name:
        raise ValueError(f"LAB_REPO={address}: Colab opens repositories of GitHub, by user/name or address")
    return name[1] if name else ""


def source(name: str, repo: str = "") -> NotebookNode:
    """The notebook before it runs: badge (with a repository), the source's first cell, set-up, the rest."""
    parsed = jupytext.reads((HERE / f"source/{name}.py").read_text(encoding="utf-8"), "py:percent")
    address = f"{COLAB}/github/{repo}/blob/main/notebooks/{name}.ipynb"
    badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({address})"
    first, *rest = parsed.cells
    cells = [first, v4.new_code_cell(SETUP.format(repo=repo)), *rest]
    cells = ([v4.new_markdown_cell(badge)] if repo else []) + cells
    for cell in cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": spec, "language_info": {"name": "python", "file_extension": ".py"}}
    return v4.new_notebook(cells=cells, metadata=metadata)


def execute(notebook: NotebookNode) -> NotebookNode:
    """Runs all cells in this folder, on one thread, offline: with the samples and the embedded backbone alone."""
    fixed = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    cache = tempfile.TemporaryDirectory()
    hidden = {"LAB_DATA", "LAB_WEIGHTS", "LAB_TEXTURES", "LAB_DEVICE", "MPLBACKEND"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | fixed | {"LAB_CACHE": cache.name}
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}, record_timing=False
    )
    with cache:
        client.execute(env=environment)
    return notebook


def finish(notebook: NotebookNode) -> NotebookNode:
    """Folds solutions away, numbers the code cells, shrinks figures, names cells by their content."""
    seen: set[str] = set()
    count = 0
    for i, cell in enumerate(notebook.cells):
        if "solution" in cell.metadata.get("tags", ()):
            cell = notebook.cells[i] = v4.new_markdown_cell(
                f"<details><summary>Solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            )
        if cell.cell_type == "code":
            count += 1
            cell.execution_count, cell.outputs = count, [_tidy(output, count) for output in _merge(cell.outputs)]
        content = f"{cell.cell_type} {cell.source}"
        while (key := hashlib.sha256(content.encode()).hexdigest()[:12]) in seen:
            content += "+"
        seen.add(key)
        cell.id = key
    nbformat.validate(notebook)
    return notebook


def _merge(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Joins neighbouring pieces of one stream: where a stream is cut is chance."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def _tidy(output: NotebookNode, count: int) -> NotebookNode:
    if "execution_count" in output:
        output.execution_count = count
    data = output.get("data", {})
    if "image/png" in data:
        output.data, output.metadata = NotebookNode({"image/png": _shrink(data["image/png"])}), NotebookNode()
    return output


def _shrink(png: str) -> str:
    """A base64 PNG in its own 256 colours: a third of the size, with hardly a visible difference."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    quantized = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    quantized.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(names: list[str]) -> None:
    repo = repository(os.environ.get("LAB_REPO", ""))
    for name in names or NAMES:
        start = time.perf_counter()
        path = HERE / f"{name}.ipynb"
        nbformat.write(finish(execute(source(name, repo))), path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1024:.0f} KB", flush=True)


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
