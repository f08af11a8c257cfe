"""The house: which way imports point, who may import gradio, where a fact stands once. LAYERS is the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Top to bottom: a file imports from its own layer or from one below it, never from one above.
LAYERS = [
    ["app"],
    ["lab.__main__", "lab.ui"],
    ["lab.cli"],
    ["lab.ready_detectors"],
    ["lab"],  # the public names
    [
        "lab.bench.measurement",
        "lab.bench.promise_study",
        "lab.bench.small_dots",
        "lab.bench.curve_study",
        "lab.bench.anomalib_rows",
        "lab.hub.detector_card",
        "lab.hub.publishing",
        "lab.export",
        "lab.inspection",
    ],
    ["lab.detector"],
    ["lab.bench"],  # rows, studies and what the papers claim; measuring needs the detector
    ["lab.methods"],
    ["lab.distill"],
    ["lab.checks"],
    ["lab.parts", "lab.tiles"],
    ["lab.method"],
    ["lab.data"],
    [
        "lab.hub",
        "lab.metrics",
        "lab.plots",
        "lab.calibration",
        "lab.papers",
        "lab.quantized_safetensors",
        "lab.detector_metadata",
        "lab.file_hashes",
        "lab.csv_cells",
        "lab.image_files",
        "lab.zip_files",
        "lab.image_stack",
        "lab.parts.turns",
        "lab.equations",
        "lab.promise",
        "lab.markdown",
    ],
    [
        "lab.equations",
        "lab.atomic_write",
        "lab.device",
        "lab.lru_cache",
        "lab.markdown",
        "lab.progress",
        "lab.parts.maps",
    ],
    ["lab.errors", "lab.version"],
]


def layer(module: str) -> int:
    best = max((name for row in LAYERS for name in row if f"{module}.".startswith(f"{name}.")), key=len)
    return next(i for i, row in enumerate(LAYERS) if best in row)


def files() -> dict[str, Path]:
    found = {"app": ROOT / "app.py"}
    for path in (ROOT / "lab").rglob("*.py"):
        found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def imports(module: str, path: Path, lazy_only: bool = False) -> set[str]:
    """The modules a file imports, relative names resolved; lazy_only: those inside functions alone."""
    tree = ast.parse(path.read_text())
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    nodes = {node for top in tree.body if isinstance(top, ast.FunctionDef | ast.ClassDef) for node in ast.walk(top)}
    names: set[str] = set()
    for node in nodes if lazy_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                names.add(full if full in FILES else origin)
    return names


FILES = files()


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_point_downward(module: str) -> None:
    for other in imports(module, FILES[module]):
        if other == "lab" and module != "lab":
            continue  # `from . import __version__` and names of this very package
        if other in FILES:
            assert layer(other) >= layer(module), f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("module", sorted(FILES))
def test_only_other_peoples_modules_are_imported_late(module: str) -> None:
    assert not imports(module, FILES[module], lazy_only=True) & set(FILES)


def test_imports_form_no_circle() -> None:
    graph = {module: imports(module, path) & set(FILES) - {"lab", module} for module, path in FILES.items()}
    while ends := [module for module, others in graph.items() if not others]:
        graph = {module: others - set(ends) for module, others in graph.items() if module not in ends}
    assert not graph, "these import each other, or what does"


@pytest.mark.parametrize("module", sorted(m for m in FILES if m.startswith("lab.methods.")))
def test_methods_never_import_each_other(module: str) -> None:
    own = ".".join(module.split(".")[:3])  # a method's file, or the package of its parts
    others = {
        m for m in imports(module, FILES[module]) if m.startswith("lab.methods.") and not f"{m}.".startswith(f"{own}.")
    }
    assert not others


@pytest.mark.parametrize("module", sorted(m for m in FILES if m.startswith("lab") and not m.startswith("lab.ui")))
def test_only_the_page_knows_gradio(module: str) -> None:
    assert not any(name.split(".")[0] == "gradio" for name in imports(module, FILES[module]))


def test_nothing_unpickles() -> None:
    for module, path in FILES.items():
        text = path.read_text()
        assert "torch.load(" not in text and "import pickle" not in text and "allow_pickle" not in text, module


def test_imagenet_constants_stand_once() -> None:
    assert [m for m, path in FILES.items() if "0.485" in path.read_text()] == ["lab.parts.features"]
