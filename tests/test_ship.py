"""What leaves the house: a method added as the README says, the Space, facts that stand in files of others' form."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import OUTSIDE, ROOT, stripes
from hub_server import Hub
from packaging.requirements import Requirement
from pages import Visit, served

import lab
from lab import image_files
from lab.data import samples
from lab.data.downloadable_sets import DOWNLOADABLE
from lab.parts.features import BACKBONES

NAME = "pixel_gaussian"
TROUBLE = re.compile(r"Traceback|Exception|\bError\b")
"""In the log of a page."""


def front_matter(readme: Path) -> dict[str, Any]:
    return yaml.safe_load(readme.read_text().split("---\n")[1])


def requirements() -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return {found.name: found for found in map(Requirement, filter(None, lines))}


# --- a method of one's own --------------------------------------------------------------------------------------------


def test_the_readmes_method_fulfils_the_contract(tmp_path: Path) -> None:
    """In a copy of the project: the file and the two lines of the methods' README, then the contract's own tests."""
    text = (ROOT / "lab/methods/README.md").read_text().partition("## How to add a method")[2]
    source, lines = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    added, entry = lines.splitlines()
    for folder in ("lab", "weights"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for file in ("app.py", "pyproject.toml", *(f"tests/{name}.py" for name in ("conftest", "test_contract",
                                                                              "test_architecture"))):  # fmt: skip
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / f"lab/methods/{NAME}.py").write_text(source)
    registry = tmp_path / "lab/methods/__init__.py"
    told = registry.read_text()
    told = told.replace("\n\nMETHODS", f"\n{added}\n\nMETHODS").replace("\n}", f"\n{entry}\n}}")
    registry.write_text(told)
    for i in range(8):
        path = tmp_path / f"stripes/good/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image_files.write_png(path, stripes(i))
    script = f"""
import sys, pytest
from lab import METHODS
from lab.inspection.ranking import expected_seconds
from lab.__main__ import main
assert main(["methods"]) == 0
assert expected_seconds("{NAME}", 20, 0.02) >= expected_seconds("rb_ae", 20, 0.02)  # the page says it, too
fit = ["fit", "--method", "{NAME}", "--data", "stripes", "--size", "96", "--blur", "1", "--no-scaled"]
assert main([*fit, "-o", "det.safetensors"]) == 0
for other in set(METHODS) - {{"{NAME}"}}:
    del METHODS[other]  # they are tested elsewhere
sys.exit(pytest.main(["-n", "0", "-rA", "-p", "no:cacheprovider", "-k", "{NAME}", "tests"]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}: Pixel Gaussian (representation)" in done.stdout
    assert "det.safetensors: Pixel Gaussian fitted on 8 images" in done.stdout
    passed = re.findall(r"^PASSED tests/(\w+)\.py::(\w+)", done.stdout, re.MULTILINE)
    contract = (ROOT / "tests/test_contract.py").read_text()
    wanted = set(re.findall(r"@METHOD\ndef (\w+)", contract)) | {"test_every_component_changes_the_map"}
    assert wanted <= {name for file, name in passed if file == "test_contract"}
    assert "test_architecture" in {file for file, name in passed}


# --- facts that stand in files of others' form ------------------------------------------------------------------------


DOCUMENTED = set(  # keys of a Space's configuration; what is misspelt there is silently without effect
    "title emoji colorFrom colorTo sdk sdk_version python_version app_file app_port base_path fullWidth header "
    "short_description models datasets tags thumbnail pinned license suggested_hardware suggested_storage "
    "startup_duration_timeout preload_from_hub custom_headers disable_embedding".split()
)
COLOURS = "red yellow green blue indigo purple pink gray".split()
HARDWARE = "cpu-basic cpu-upgrade zero-a10g t4-small t4-medium l4x1 a10g-small a10g-large".split()


def test_the_spaces_head_says_what_the_code_says() -> None:
    head, needs = front_matter(ROOT / "README.md"), requirements()
    assert set(head) <= DOCUMENTED and {head["colorFrom"], head["colorTo"]} <= set(COLOURS)
    assert len(head["emoji"]) == 1 and head["suggested_hardware"] in HARDWARE
    assert isinstance(head["python_version"], str) and isinstance(head["sdk_version"], str)  # 3.10 is no number
    assert head["tags"] and all(re.fullmatch(r"[a-z-]+", tag) for tag in head["tags"])
    for line in head["preload_from_hub"]:
        repository, *files = line.split(" ")
        assert repository in head["models"] and files == ["model.safetensors"]
    assert head["sdk"] == "gradio" and needs["gradio"].specifier.contains(head["sdk_version"])
    assert (ROOT / head["app_file"]).is_file() and head["license"] == "mit"
    assert len(head["short_description"]) <= 60  # the Hub refuses longer ones
    assert head["models"] == [f"timm/{tag}" for tag in BACKBONES if tag != "embedded"]
    sources = [known.sources for known in DOWNLOADABLE.values()]
    repositories = [[s for s in names if re.fullmatch(r"[\w.-]+/[\w.-]+", s)] for names in sources]
    assert head["datasets"] == [found[0] for found in repositories if found]
    project = (ROOT / "pyproject.toml").read_text()
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', project)
    assert oldest and int(head["python_version"].split(".")[1]) >= int(oldest[1])


def test_torch_is_what_zerogpu_offers_with_its_torchvision() -> None:
    """torchvision 0.n names torch 2.(n-15) exactly; ZeroGPU offers torch 2.8 to 2.11."""
    needs = requirements()
    minors = range(5, 15)
    torch = [n for n in minors if needs["torch"].specifier.contains(f"2.{n}.1")]
    vision = [n - 15 for n in range(20, 30) if needs["torchvision"].specifier.contains(f"0.{n}.1")]
    assert torch == vision
    assert torch and set(torch) <= {8, 9, 10, 11}


def test_every_package_is_in_the_wheel_with_its_data() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = [path.relative_to(ROOT) for path in (ROOT / "lab").rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    packages = {".".join(path.parent.parts) for path in files if path.suffix == ".py"}
    assert set(project["packages"]) == packages | {"lab.weights"}
    shipped = {
        path.relative_to(ROOT)
        for package, patterns in project["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    documents = (
        {".py", ".md"},
        {Path("lab/bench", name) for name in ("gpu_rows", "few_images")},
    )  # for readers of the code
    wanted = {path for path in files if path.suffix not in documents[0] and path.parent not in documents[1]}
    assert wanted <= shipped


def test_the_readme_names_every_variable_that_is_read() -> None:
    told = (ROOT / "README.md").read_text()
    read = {name for path in (ROOT / "lab").rglob("*.py") for name in re.findall(r"\bLAB_[A-Z_]+", path.read_text())}
    assert {name for name in read if f"| `{name}` |" not in told} == set()


def test_the_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == lab.__version__
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == lab.__version__


# --- the Space --------------------------------------------------------------------------------------------------------


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def make_space(folder: Path, *words: str) -> subprocess.CompletedProcess:
    if not git("rev-parse", "HEAD") or not shutil.which("make"):
        pytest.skip("this is no checkout, or make is not installed: `make space` takes committed files")
    return subprocess.run(["make", "space", f"DIR={folder}", *words], cwd=ROOT, capture_output=True, text=True)


def test_make_space_writes_the_committed_files_and_no_others(tmp_path: Path) -> None:
    done = make_space(tmp_path / "space", "SPACE=user/name")
    assert done.returncode == 0, done.stderr
    written = {str(p.relative_to(tmp_path / "space")) for p in (tmp_path / "space").rglob("*") if p.is_file()}
    committed = git("ls-tree", "-r", "--name-only", "HEAD")
    wanted = {p for p in committed if p.startswith(("lab/", "weights/"))}
    assert written == wanted | {"app.py", "requirements.txt", "README.md", "LICENSE", ".github/page.png"}
    thumbnail = "thumbnail: https://huggingface.co/spaces/user/name/resolve/main/.github/page.png"
    readme = re.sub(
        r"^app_file: .*$", rf"\g<0>\n{thumbnail}", "\n".join(git("show", "HEAD:README.md")), flags=re.MULTILINE
    )
    assert (tmp_path / "space/README.md").read_text() == readme + "\n"
    again = make_space(tmp_path / "space")
    assert again.returncode != 0 and "is not empty" in again.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The Space's folder, and the python of an environment that holds what its requirements.txt names and no more."""
    folder = tmp_path_factory.mktemp("clean")
    space, python = folder / "space", folder / "env/bin/python"
    done = make_space(space)
    assert done.returncode == 0, done.stderr
    for command in (
        [["uv", "venv", "-p", sys.executable, folder / "env"],
         ["uv", "pip", "install", "-p", python, "-r", space / "requirements.txt"]]
        if shutil.which("uv") else
        [[sys.executable, "-m", "venv", folder / "env"],
         [python, "-m", "pip", "install", "-r", space / "requirements.txt"]]
    ):  # fmt: skip
        done = subprocess.run(command, env=OUTSIDE, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return space, python


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("reached", [False, True], ids=["refused", "loopback"])
def test_the_space_starts_on_requirements_txt_alone(
    reached: bool, clean: tuple[Path, Path], tmp_path: Path, browser: Any
) -> None:
    """A clean environment, the Space's own folder, nothing else on the path: the first view fills itself, where the
    Hub's address is refused and where a Hub answers; and neither is asked for anything."""
    space, python = clean
    with Hub() as hub:
        endpoint = hub.url if reached else "http://127.0.0.1:9"  # nobody listens there
        with served(space, tmp_path / "app.log", python, HF_ENDPOINT=endpoint) as address:
            visit = Visit(browser, address, viewport={"width": 1280, "height": 1000})
            visit.finished(2)
            assert len(set(visit.maps().values())) == 2 and not visit.complaints
        assert not hub.log and not TROUBLE.search((tmp_path / "app.log").read_text())


# --- nothing but the checkout -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_fresh_clone_needs_no_network(tmp_path: Path, browser: Any) -> None:
    """In a network of its own that holds loopback alone: every category of the samples is compared."""
    alone = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let its users make networks of their own")
    if not git("rev-parse", "HEAD"):
        pytest.skip("this is no checkout, which could be cloned")
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "clone"], check=True)
    command = [*alone, sys.executable, ROOT / "tests/alone.py", tmp_path / "clone", tmp_path / "app.log"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "clone")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == list(samples.CATEGORIES)
    assert not TROUBLE.search((tmp_path / "app.log").read_text())
