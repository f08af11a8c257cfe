"""What tests share: their environment, small images, and the real data and weights where they are at hand."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = dict(os.environ)
"""The environment that the tests were started in: for programs that need the network, such as pip."""


def isolate() -> None:
    """Replaces the environment by one in which nothing that is set outside can change a test.

    It runs before anything imports huggingface_hub, which reads its variables at import. LAB_DATA and LAB_WEIGHTS are
    kept under another name for `shared`.
    """
    kept = {"PATH", "HOME", "USER", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH"}
    kept |= {name for name in os.environ if name.startswith("PYTEST_")}
    folder = tempfile.mkdtemp(prefix="anomaly-lab-hub-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {name: value for name, value in OUTSIDE.items() if name in kept}
    environment |= {f"PYTEST_{name}": OUTSIDE[name] for name in ("LAB_DATA", "LAB_WEIGHTS") if name in OUTSIDE}
    environment |= dict(HF_HOME=folder, LANG="C.UTF-8", OMP_NUM_THREADS="1", PYTHONUTF8="1")
    os.environ.clear()
    os.environ.update(environment)


if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has the environment of the process that started it
    isolate()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402

torch.set_num_threads(1)


def shared(variable: str, folder: str) -> Path | None:
    """The folder that the environment names, else `../shared/<folder>` beside the checkout, else None."""
    path = Path(os.environ.get(f"PYTEST_{variable}") or ROOT.parent / "shared" / folder)
    return path if path.is_dir() else None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their length: a zip holds the time, and every worker must collect the same names."""
    return f"{argname}_{len(val)}_bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that open a browser, which `make quick` leaves out."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What was pulled or fitted outside of the tests is not at hand in them; what they leave lies in pytest's folder,
    gradio's client among them, which leaves a folder for every file it downloads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    path = shared("LAB_DATA", "data")
    return path if path else pytest.skip("no real images at hand: set LAB_DATA to a folder of data sets")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    path = shared("LAB_WEIGHTS", "weights")
    if path and (path / "resnet18.tv_in1k.safetensors").is_file():
        return path
    return pytest.skip("no ImageNet weights at hand: set LAB_WEIGHTS to a folder with resnet18.tv_in1k.safetensors")


def stripes(number: int, *, defect: bool = False, size: int = 96) -> np.ndarray:
    """A small striped surface, uint8 (size, size, 3); with a dark blot when `defect`."""
    rng = np.random.default_rng(number)
    x = np.arange(size)
    wave = 128 + 40 * np.sin((x[None] + x[:, None] * 0.3) * 0.5 + rng.uniform(0, 6))
    image = wave[..., None] * np.array([1.0, 0.9, 0.8]) + rng.normal(0, 4, (size, size, 3))
    if defect:
        row, column = rng.integers(size // 4, size // 2, 2)
        image[row : row + size // 5, column : column + size // 5] = rng.uniform(10, 50)
    return image.clip(0, 255).astype(np.uint8)


def bolt(degrees: float, number: int, defect: bool = False) -> np.ndarray:
    """A bolt on a grey table, turned; uint8 (128, 128, 3). A defective one has a bite in its shaft."""
    image = Image.new("RGB", (128, 128), (170, 172, 168))
    draw = ImageDraw.Draw(image)
    draw.rectangle((56, 24, 72, 104), fill=(70, 66, 60))
    draw.rectangle((46, 20, 82, 40), fill=(40, 44, 52))
    for y in range(60, 104, 8):
        draw.line((56, y, 72, y + 4), fill=(140, 136, 130), width=2)
    if defect:
        draw.ellipse((62, 70, 80, 84), fill=(170, 172, 168))
    turned = np.asarray(image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(170, 172, 168)), np.int16)
    noise = np.random.default_rng(number).integers(-6, 7, turned.shape)
    return np.clip(turned + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def good() -> list[np.ndarray]:
    return [stripes(i) for i in range(12)]


@pytest.fixture(scope="session")
def bad() -> np.ndarray:
    return stripes(100, defect=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from pages import ARGS, CHROMIUM

    if not Path(CHROMIUM).is_file():
        pytest.skip("there is no chromium here")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield opened
        opened.close()
