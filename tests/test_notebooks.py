"""The notebooks match their sources and the code they show, ran whole, and print what a fresh run prints."""

from __future__ import annotations

import ast
import base64
import importlib.util
import inspect
import io
import math
import re
import tempfile
import textwrap
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from conftest import ROOT
from nbformat import NotebookNode
from PIL import Image

from lab.equations import equations_of
from lab.methods.cdo import CDO
from lab.methods.local_occ import LocalOCC
from lab.methods.smcc import SMCC

FOLDER = ROOT / "notebooks"
SHORT = ("5_your_own_images", "6_compare")  # run by the default suite
PAPERS = {"1_smcc": "smcc", "2_rb_ae": "rb_ae", "3_cdo": "cdo", "4_local_occ": "local_occ"}
NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(\.\d+)?(?:e[-+]?\d+)?")


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _build()
EACH = pytest.mark.parametrize("name", build.NAMES)


def stored(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def repository(notebook: NotebookNode) -> str:
    """The repository it was built for; "" for none."""
    return next(match[1] for cell in notebook.cells if (match := re.search(r'^REPO = "(.*)"$', cell.source, re.M)))


def texts(cell: NotebookNode) -> list[str]:
    """What a code cell wrote, piece by piece; "" for a figure."""
    pieces = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())]
    return ["".join(piece) for piece in pieces]


def figures(cell: NotebookNode) -> list[str]:
    """The PNG images of a code cell, in base64."""
    bundles = (output.get("data", {}) for output in cell.get("outputs", ()))
    return [bundle["image/png"] for bundle in bundles if "image/png" in bundle]


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_every_source_has_its_notebook() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == build.NAMES
    assert {*SHORT, *PAPERS} <= set(build.NAMES)


@EACH
def test_it_is_in_step_with_its_source(name: str) -> None:
    notebook = stored(name)
    rebuilt = build.finish(build.source(name, repository(notebook)))
    before, after = ([(cell.id, cell.cell_type, cell.source) for cell in book.cells] for book in (notebook, rebuilt))
    assert before == after, f"python notebooks/build.py {name}"


@EACH
def test_it_ran_whole(name: str) -> None:
    path, notebook = FOLDER / f"{name}.ipynb", stored(name)
    assert path.stat().st_size < 1_000_000
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    images = [Image.open(io.BytesIO(base64.b64decode(png))) for cell in cells for png in figures(cell)]
    assert len(images) >= 3 and all(len(image.convert("RGBA").getcolors(1 << 24)) > 8 for image in images)
    for text in (text for cell in cells for text in texts(cell)):
        for place in (str(ROOT), str(Path.home()), tempfile.gettempdir(), "/tmp/", "/home/", "site-packages", "\r"):
            assert place not in text, text


@EACH
def test_three_exercises_have_hidden_solutions_that_assert(name: str) -> None:
    cells = build.source(name).cells
    places = [i for i, cell in enumerate(cells) if re.search(r"^### Exercise \d", cell.source, re.M)]
    assert [re.findall(r"^### Exercise (\d)", cells[i].source, re.M) for i in places] == [["1"], ["2"], ["3"]]
    stored_cells = stored(name).cells[-3 * len(places) :]
    for number, i in enumerate(places):
        answer, solution = cells[i + 1 : i + 3]
        assert answer.source == "# your turn" and solution.metadata["tags"] == ["solution"]
        assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(solution.source)))
        folded = stored_cells[3 * number + 2]
        assert folded.cell_type == "markdown" and folded.source.startswith("<details><summary>Solution</summary>")
    assert [cell.metadata.get("tags") for cell in cells].count(["solution"]) == 3


@EACH
def test_it_imports_the_lab_and_never_the_page(name: str) -> None:
    code = "\n".join(cell.source for cell in build.source(name).cells if cell.cell_type == "code")
    modules = {alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)}
    assert any(module.split(".")[0] == "lab" for module in modules)
    assert not any(module.startswith(("lab.ui", "gradio")) for module in modules)


COMPOSED = {"cdo": [CDO.discrepancies], "smcc": [SMCC.loss], "local_occ": [LocalOCC.learn_matching]}  # of equations
EACH_PAPER = pytest.mark.parametrize("name", PAPERS)


@EACH_PAPER
def test_every_equation_is_shown_as_it_stands(name: str) -> None:
    shown = "\n".join(text for cell in stored(name).cells for text in texts(cell))
    method = PAPERS[name]
    functions = [e.function for e in equations_of(method)] + COMPOSED.get(method, [])
    assert len(functions) >= 3
    for function in functions:
        source = textwrap.dedent(inspect.getsource(function)).rstrip()
        assert source in shown, f"{function.__qualname__} is missing or has changed: python notebooks/build.py {name}"


@EACH_PAPER
def test_every_equation_has_its_section(name: str) -> None:
    titles = [line for cell in build.source(name).cells for line in cell.source.splitlines() if line.startswith("### ")]
    headed = set()
    for first, last in re.findall(r"\((\d+)\)(?: to \((\d+)\))?", "\n".join(t for t in titles if "Eq. (" in t)):
        headed |= set(range(int(first), int(last or first) + 1))
    assert headed >= {n for e in equations_of(PAPERS[name]) for n in (*e.numbers, *e.covers)}


# --- how they are built -----------------------------------------------------------------------------------------------


def test_the_badge_opens_the_repository_the_notebook_is_built_for() -> None:
    for address in ("user/name", "https://github.com/user/name", "https://github.com/user/name.git"):
        assert build.repository(address) == "user/name"
    assert build.repository("") == ""
    with pytest.raises(ValueError, match="GitHub"):
        build.repository("https://example.org/user/name")
    badge, *rest = build.source("3_cdo", "user/name").cells
    assert "colab.research.google.com/github/user/name/blob/main/notebooks/3_cdo.ipynb" in badge.source
    assert any('REPO = "user/name"' in cell.source for cell in rest)
    assert not any("colab-badge" in cell.source for cell in build.source("3_cdo").cells)


# --- a fresh run ------------------------------------------------------------------------------------------------------


def agree(old: str, new: str) -> bool:
    """Equal words, and numbers that differ by no more than rounding on another machine: 5 % or 0.02, a count by 1."""
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    for a, b in zip(NUMBER.finditer(old), NUMBER.finditer(new)):
        x, y = (float(match[0].replace(",", "")) for match in (a, b))
        if not math.isclose(x, y, rel_tol=0.05, abs_tol=0.02 if a[1] or b[1] else 1):
            return False
    return True


def test_agreement_is_of_words_and_numbers() -> None:
    assert agree("margin 2.871, 3 of 12 missed", "margin 2.874, 4 of 12 missed")
    assert not agree("margin 2.87", "margin 1.87") and not agree("verdict good", "verdict bad")
    assert not agree("3 missed", "9 missed") and not agree("+0.30", "-0.30")


def check_fresh_run(name: str) -> None:
    old = stored(name)
    new = build.finish(build.execute(build.source(name, repository(old))))
    assert len(old.cells) == len(new.cells)
    for before, after in zip(old.cells, new.cells):
        assert len(figures(before)) == len(figures(after)), after.source
        pairs = list(zip(texts(before), texts(after), strict=True))
        assert all(agree(*pair) for pair in pairs), f"{after.source}\n\n{pairs}"


@pytest.mark.timeout(900)  # half a minute alone on a core, many where the machine is shared
@pytest.mark.parametrize("name", SHORT)
def test_a_fresh_run_says_the_same(name: str) -> None:
    check_fresh_run(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in build.NAMES if name not in SHORT])
def test_a_fresh_run_of_a_long_one_says_the_same(name: str) -> None:
    check_fresh_run(name)
