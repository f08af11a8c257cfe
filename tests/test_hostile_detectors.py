"""Detector files from strangers: whatever is wrong in them ends as one sentence, and never as the verdict "good"."""

from __future__ import annotations

import copy
import json
import lzma
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from conftest import ROOT, stripes

from lab import Detector, LabError, file_hashes, quantized_safetensors
from lab.calibration import Calibration
from lab.detector import FILE_FORMAT
from lab.hub import detector_card
from lab.parts import features

GOOD = [stripes(i) for i in range(10)]
BAD = stripes(100, defect=True)
METHODS = {"patchcore": {}, "padim": {}, "autoencoder": {"epochs": 1}, "fastflow": {"epochs": 1, "steps": 2}}
METHODS |= {"smcc": {"epochs": 1}, "stfpm": {"epochs": 1}}

Json = dict[str, Any]
Content = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Method -> a file of it; "quantized": one in 12 bits."""
    folder = tmp_path_factory.mktemp("detectors")
    fitted = {method: Detector(method, size=64, **settings).fit(GOOD) for method, settings in METHODS.items()}
    files = {method: detector.save(folder / f"{method}.safetensors") for method, detector in fitted.items()}
    bits = dict.fromkeys(quantized_safetensors.parts(fitted["stfpm"].method.state()), 12)
    return files | {"quantized": fitted["stfpm"].quantized(bits, GOOD).save(folder / "quantized.safetensors")}


def opened(path: Path) -> tuple[Json, Content]:
    return quantized_safetensors.read(path)


def written(path: Path, metadata: object, content: Content) -> Path:
    """Under metadata as they are where they are text, else as JSON."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    safetensors.torch.save_file(content, path, {"lab": text})
    return path


def refused(path: Path, match: str | None = None) -> str:
    """The sentence by which the file is refused: one line that names it."""
    with pytest.raises(LabError, match=match) as caught:
        Detector.load(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and len(message) < 400
    return message


def with_calibration(metadata: Json, **changes: Any) -> Json:
    return metadata | {"calibration": metadata["calibration"] | changes}


NAN, INF = float("nan"), float("inf")
WRONG_METADATA: dict[str, Callable[[Json], object]] = {
    "nested": lambda m: '{"method":' + "[" * 100_000,
    "nested within": lambda m: json.dumps(m)[:-1] + ', "origin": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
    "a list": lambda m: [m],
    "no JSON": lambda m: json.dumps(m)[:-1],
    "no backbone": lambda m: {name: value for name, value in m.items() if name != "backbone"},
    "backbone null": lambda m: m | {"backbone": None},
    "backbone a number": lambda m: m | {"backbone": {"tag": 7}},
    "calibration null": lambda m: m | {"calibration": None},
    "calibration a list": lambda m: m | {"calibration": list(m["calibration"].values())},
    "notes a number": lambda m: m | {"notes": 5},
    "origin null": lambda m: m | {"origin": None},
    "origin nested": lambda m: m | {"origin": {"set": {"a": "b"}}},
    "one field more": lambda m: m | {"run": "me"},
    "a seed in words": lambda m: m | {"seed": "0"},
    "a text of a megabyte": lambda m: m | {"fingerprint": "f" * 2**20},
    "history of texts": lambda m: m | {"history": {"loss": ["low"]}},
    "method a list": lambda m: m | {"method": ["patchcore"]},
    "method unknown": lambda m: m | {"method": "oracle"},
    "settings a list": lambda m: m | {"settings": [1]},
    "settings unknown": lambda m: m | {"settings": m["settings"] | {"colour": 1}},
    "settings nested": lambda m: m | {"settings": m["settings"] | {"size": [[64]]}},
    "size a text": lambda m: m | {"settings": m["settings"] | {"size": "64"}},
    "size huge": lambda m: m | {"settings": m["settings"] | {"size": 10**9}},
    "crop beyond the image": lambda m: m | {"settings": m["settings"] | {"crop": 96}},
    "scores a text": lambda m: with_calibration(m, scores="x"),
    "scores of texts": lambda m: with_calibration(m, scores=["1", "2"]),
    "no scores": lambda m: with_calibration(m, scores=[], peaks=[]),
    "fewer peaks": lambda m: with_calibration(m, peaks=m["calibration"]["peaks"][:-1]),
    "scores descending": lambda m: with_calibration(m, scores=m["calibration"]["scores"][::-1]),
    "a scale without numbers": lambda m: with_calibration(m, pixel_scale=[]),
    "a scale of three": lambda m: with_calibration(m, score_scale=[0, 1, 2]),
    "threshold NaN": lambda m: with_calibration(m, bad=NAN, look=NAN),
    "threshold infinite": lambda m: with_calibration(m, bad=INF, look=INF),
    "threshold below all": lambda m: with_calibration(m, look=m["calibration"]["bad"] + 1),
    "pixel threshold NaN": lambda m: with_calibration(m, pixel_bad=NAN),
    "median NaN": lambda m: with_calibration(m, score_scale=[NAN, 1.0]),
    "unit negative": lambda m: with_calibration(m, score_scale=[0.0, -1.0]),
    "unit zero": lambda m: with_calibration(m, pixel_scale=[0.0, 0.0]),
    "unit infinite": lambda m: with_calibration(m, pixel_scale=[0.0, INF]),
    "score NaN": lambda m: with_calibration(m, scores=[NAN] * len(m["calibration"]["scores"])),
    "grey range unknown": lambda m: m | {"grey_bits": 11},
    "quantization a list": lambda m: m | {"quantization_bits": [12]},
    "shapes of what is not there": lambda m: m | {"quantized_shapes": {"x": [2, 2]}},
}


@pytest.mark.parametrize("wrong", WRONG_METADATA)
@pytest.mark.parametrize("method", ["patchcore", "quantized"])
def test_wrong_metadata_are_a_sentence(method: str, wrong: str, files: dict[str, Path], tmp_path: Path) -> None:
    metadata, content = opened(files[method])
    refused(written(tmp_path / "other.safetensors", WRONG_METADATA[wrong](copy.deepcopy(metadata)), content))


def spoiled(x: torch.Tensor, value: float) -> torch.Tensor:
    x = x.clone()
    x.view(-1)[x.numel() // 2] = value
    return x


@pytest.mark.parametrize("method", [*METHODS, "quantized"])
def test_wrong_tensors_are_a_sentence(method: str, files: dict[str, Path], tmp_path: Path) -> None:
    """A dozen tensors, each in turn: not finite, of another shape or type, empty, away; and one more."""
    metadata, content = opened(files[method])
    path = tmp_path / "other.safetensors"
    for name, x in sorted(content.items())[:: 1 + len(content) // 12]:
        others = {"doubled": torch.cat([x[None], x[None]]), "away": None, "double": x.double()}
        if x.is_floating_point():
            others |= {str(value): spoiled(x, value) for value in (NAN, INF, -INF)} if x.numel() else {}
            others |= {"whole": x.nan_to_num().long()}
        if x.ndim and x.numel():
            others |= {"empty": x[:0].clone(), "cut": x.flatten()[:-1].clone()}
        for other in others.values():
            changed = {key: value for key, value in (content | {name: other}).items() if value is not None}
            refused(written(path, metadata, changed))
    refused(written(path, metadata, content | {"one.more": torch.ones(3)}))


def test_learned_whole_numbers_stay_in_their_range(files: dict[str, Path], tmp_path: Path) -> None:
    wrong = {"padim": ("kept", 10**6), "patchcore": ("place", -1), "fastflow": ("flows.0.steps.0.order", 0)}
    for method, (name, value) in wrong.items():
        metadata, content = opened(files[method])
        name = next(key for key in content if key.endswith(name.rpartition(".")[2]))
        refused(
            written(tmp_path / "other.safetensors", metadata, content | {name: torch.full_like(content[name], value)})
        )
    metadata, content = opened(files["padim"])
    refused(written(tmp_path / "other.safetensors", metadata, content | {"count": torch.tensor(0)}))


def test_shapes_are_checked_before_anything_is_unpacked(files: dict[str, Path], tmp_path: Path) -> None:
    """A kilobyte that claims a gigabyte costs neither the memory nor the time."""
    metadata, content = opened(files["patchcore"])
    channels = content["bank"].shape[1]
    rows = 2**28 // channels
    q = lzma.compress(bytes(2 * 2**24), format=lzma.FORMAT_RAW, filters=quantized_safetensors.LZMA)
    huge = {
        "bank": torch.frombuffer(bytearray(q), dtype=torch.uint8),
        "bank:exponents": torch.zeros(rows, dtype=torch.int8),
    }
    metadata = metadata | {"quantized_shapes": {"bank": [rows, channels]}, "quantization_bits": {"bank": 12}}
    more = {name: torch.zeros(rows, dtype=torch.int32) for name in ("owner", "place")}
    path = written(tmp_path / "huge.safetensors", metadata, content | huge | more)
    before, since = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    refused(path, "quantized tensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000 and time.process_time() - since < 1
    stfpm, content = opened(files["quantized"])
    name = next(iter(stfpm["quantized_shapes"]))
    refused(
        written(path, stfpm | {"quantized_shapes": stfpm["quantized_shapes"] | {name: [2**14, 2**14]}}, content),
        "shape",
    )


def test_an_old_format_is_told_before_its_fields(files: dict[str, Path], tmp_path: Path) -> None:
    _, content = opened(files["patchcore"])
    other = {"method": "patchcore", "format": FILE_FORMAT - 1, "version": "0.1.0\n\x1b[31m"}
    assert "fit it again" in refused(written(tmp_path / "other.safetensors", other, content))


def test_numbers_that_are_none_are_no_verdict(files: dict[str, Path]) -> None:
    """A damaged network in memory, or a training that has failed: an error wherever a score is asked for."""
    detector = Detector.load(files["autoencoder"])
    with torch.no_grad():
        next(detector.method.parameters()).view(-1)[0] = NAN
    for ask in (detector.detect, detector.raw):
        with pytest.raises(LabError, match="no finite score"):
            ask(BAD)
    calibration = detector.calibration
    assert calibration
    for score in (NAN, INF, -INF):
        with pytest.raises(LabError, match="says nothing"):
            calibration.verdict(score)
    numbers = np.array([1.0, 2.0, NAN, 4.0])
    with pytest.raises(LabError, match="not finite"):
        Calibration.of(numbers, numbers, numbers, "by hand")


def test_what_was_saved_comes_back(files: dict[str, Path], tmp_path: Path) -> None:
    for method, path in files.items():
        detector = Detector.load(path)
        assert detector.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes(), method
        assert detector.detect(BAD).verdict in ("good", "look", "bad")
        assert detector_card.write_card(detector, "a/b")


def test_a_file_that_is_not_the_listed_one_is_not_used(files: dict[str, Path], tmp_path: Path) -> None:
    """Beside or above the file, as in weights/; a file that no list names is."""
    path = tmp_path / "washer" / "padim.safetensors"
    path.parent.mkdir()
    path.write_bytes(files["padim"].read_bytes())
    Detector.load(path)
    file_hashes.write(tmp_path)
    assert (tmp_path / file_hashes.LIST).read_text().endswith("  washer/padim.safetensors\n")
    Detector.load(path)
    path.write_bytes(files["patchcore"].read_bytes())
    refused(path, "is not the file that SHA256SUMS names")
    (tmp_path / file_hashes.LIST).write_bytes(b"\xff\xfe no list")
    Detector.load(path)


def test_the_backbone_that_is_not_the_listed_one_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "embedded.safetensors"
    path.write_bytes(features.find_weights("embedded").read_bytes())
    file_hashes.write(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "weights_folders", lambda: [tmp_path])
        features.Backbone("embedded")
        content = safetensors.torch.load_file(path)
        safetensors.torch.save_file({name: x * 2 for name, x in content.items()}, path)
        with pytest.raises(LabError, match="embedded.safetensors is not the file that SHA256SUMS names"):
            features.Backbone("embedded")


def test_every_file_of_the_project_is_listed() -> None:
    listed = (ROOT / "weights" / file_hashes.LIST).read_text().split()[1::2]
    assert sorted(listed) == sorted(
        p.relative_to(ROOT / "weights").as_posix() for p in ROOT.glob("weights/**/*.safetensors")
    )
