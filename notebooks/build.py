"""Makes the notebooks: python notebooks/build.py [NAME ...] runs each source and writes it with its outputs.

`source/NAME.py` is in jupytext's percent format. A cell tagged `solution` runs with the others and is then folded away
in Markdown, so that no reader meets it unasked and none can be wrong. Equal runs give equal bytes.
LAB_REPO (user/name at GitHub, or its address) puts a badge that opens Colab on top; without it there is none.
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
# On Colab this fetches the project and what it needs; elsewhere it only finds the checkout that this notebook is in.
import os
import subprocess
import sys

REPO = "{repo}"
if "google.colab" in sys.modules:
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"https://github.com/{{REPO}}", "/content/lab"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-r", "/content/lab/requirements.txt"], check=True)
    os.chdir("/content/lab/notebooks")
sys.path.insert(0, os.path.abspath(".."))"""


def repository(told: str) -> str:
    """ "user/name" of a GitHub repository, from that or from its address; "" from "". ValueError for another host."""
    name = re.fullmatch(r"(?:https?://github\.com/|git@github\.com:)?([\w.-]+/[\w.-]+?)(?:\.git)?/?", told)
    if told and not name:
        raise ValueError(f"LAB_REPO={told}: Colab opens repositories of GitHub, by user/name or address")
    return name[1] if name else ""


def source(name: str, repo: str = "") -> NotebookNode:
    """The notebook before it runs: badge (with a repository), the source's first cell, set-up, the rest."""
    read = jupytext.reads((HERE / f"source/{name}.py").read_text(encoding="utf-8"), "py:percent")
    address = f"{COLAB}/github/{repo}/blob/main/notebooks/{name}.ipynb"
    badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({address})"
    first, *rest = read.cells
    cells = [first, v4.new_code_cell(SETUP.format(repo=repo)), *rest]
    cells = ([v4.new_markdown_cell(badge)] if repo else []) + cells
    for cell in cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    told = {"kernelspec": spec, "language_info": {"name": "python", "file_extension": ".py"}}
    return v4.new_notebook(cells=cells, metadata=told)


def execute(notebook: NotebookNode) -> NotebookNode:
    """Runs all cells in this folder, one thread, nothing but the samples and the embedded backbone at hand."""
    alone = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    cache = tempfile.TemporaryDirectory()
    hidden = {"LAB_DATA", "LAB_WEIGHTS", "LAB_TEXTURES", "LAB_DEVICE", "MPLBACKEND"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | alone | {"LAB_CACHE": cache.name}
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}, record_timing=False
    )
    with cache:
        client.execute(env=environment)
    return notebook


def finish(notebook: NotebookNode) -> NotebookNode:
    """Folds solutions away, numbers what remains, shrinks figures, names cells by their content."""
    seen: set[str] = set()
    count = 0
    for i, cell in enumerate(notebook.cells):
        if "solution" in cell.metadata.get("tags", ()):
            cell = notebook.cells[i] = v4.new_markdown_cell(
                f"<details><summary>Solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            )
        if cell.cell_type == "code":
            count += 1
            cell.execution_count, cell.outputs = count, [_tidied(output, count) for output in _merged(cell.outputs)]
        told = f"{cell.cell_type} {cell.source}"
        while (key := hashlib.sha256(told.encode()).hexdigest()[:12]) in seen:
            told += "+"
        seen.add(key)
        cell.id = key
    nbformat.validate(notebook)
    return notebook


def _merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one: how they were cut is chance."""
    found: list[NotebookNode] = []
    for output in outputs:
        if found and output.output_type == "stream" and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def _tidied(output: NotebookNode, count: int) -> NotebookNode:
    if "execution_count" in output:
        output.execution_count = count
    data = output.get("data", {})
    if "image/png" in data:
        output.data, output.metadata = NotebookNode({"image/png": _shrunk(data["image/png"])}), NotebookNode()
    return output


def _shrunk(png: str) -> str:
    """A base64 PNG in 256 colours of its own: a third of the size, and hardly to be told from the first."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    few = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(names: list[str]) -> None:
    repo = repository(os.environ.get("LAB_REPO", ""))
    for name in names or NAMES:
        began = time.perf_counter()
        path = HERE / f"{name}.ipynb"
        nbformat.write(finish(execute(source(name, repo))), path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1024:.0f} KB", flush=True)


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
