"""Exported detectors: the same numbers from other runtimes, thresholds outside, and a file that tells on nobody."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import ROOT, stripes
from PIL import Image
from test_images import encoded, tiff

from lab import METHODS, Detector, LabError, image_files
from lab.__main__ import main
from lab.export import export_detector, file_formats
from lab.methods import preset_settings

PART = np.asarray(stripes(70))


def kinds() -> dict[str, bytes]:
    """Name -> a file of the same part, in every kind of pixel that is read."""
    image, exif = Image.fromarray(PART), Image.Exif()
    exif[0x0112] = 6
    faded = image.convert("RGBA")
    faded.putalpha(Image.fromarray(np.tile(np.linspace(40, 255, PART.shape[1]).astype(np.uint8), (PART.shape[0], 1))))
    blank = image.convert("RGBA")
    blank.putalpha(0)
    deep = PART[..., 0].astype(np.uint16) * 257
    grey = Image.fromarray(PART[..., 0])
    files = {
        f"rgb.{kind.lower()}": encoded(image, kind) for kind in ("PNG", "BMP", "TIFF", "PPM", "JPEG", "GIF", "WEBP")
    }
    files |= {f"turned.{kind.lower()}": encoded(image, kind, exif=exif) for kind in ("PNG", "TIFF", "JPEG", "WEBP")}
    files |= {"faded.png": encoded(faded), "faded.webp": encoded(faded, "WEBP"), "blank.png": encoded(blank)}
    files |= {"blank.tiff": encoded(blank, "TIFF"), "grey.png": encoded(grey), "two.png": encoded(grey.convert("1"))}
    files |= {"palette.png": encoded(image.convert("P")), "key.png": encoded(grey, transparency=120)}
    files |= {"grey_alpha.png": encoded(faded.convert("LA")), "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG")}
    files |= {
        "grey16.png": encoded(deep),
        "grey16.tiff": encoded(deep, "TIFF"),
        "big16.tiff": encoded(deep, "TIFF", big_tiff=True),
    }
    files |= {
        "white0_16.tiff": tiff([65535 - deep], 0),
        "grey32_16.tiff": encoded(Image.fromarray(deep.astype(np.int32)), "TIFF"),
    }
    files |= {"grey16.pgm": b"P5 %d %d 65535\n" % PART.shape[1::-1] + deep.astype(">u2").tobytes()}
    files |= {"float.tiff": encoded(Image.fromarray((PART[..., 0] / 255).astype(np.float32)), "TIFF")}
    return files | {"damaged_exif.png": encoded(image, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12")}


KINDS = kinds()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """det.safetensors and, beside it, a folder of good and bad images, the last of another size."""
    folder = tmp_path_factory.mktemp("export")
    detector = Detector("patchcore", size=96, candidates=400).fit([stripes(i) for i in range(10)])
    detector.save(folder / "det.safetensors")
    (folder / "images").mkdir()
    for i in range(8):
        image_files.write_png(folder / f"images/{i}.png", stripes(50 + i, defect=i % 2 == 1, size=96 if i < 7 else 120))
    return folder


@pytest.fixture(scope="module")
def onnx(fitted: Path) -> Path:
    arguments = ["export", str(fitted / "det.safetensors"), "-o", str(fitted / "det.onnx")]
    assert main([*arguments, "--images", str(fitted / "images")]) == 0
    return fitted / "det.onnx"


def test_onnx_holds_the_scale_and_nothing_of_this_machine(onnx: Path) -> None:
    detector = Detector.load(onnx.with_name("det.safetensors"))
    session = onnxruntime.InferenceSession(onnx)
    metadata, c = json.loads(session.get_modelmeta().custom_metadata_map["lab"]), detector.calibration
    assert c is not None
    assert metadata["score"] == dict(zero=c.score_scale.median, unit=c.score_scale.unit, look=c.look, bad=c.bad)
    assert metadata["map"] == dict(zero=c.pixel_scale.median, unit=c.pixel_scale.unit, bad=c.pixel_bad)
    assert metadata["method"] == "patchcore" and metadata["size"] == 96 and metadata["scale"] == c.statement()
    assert [tuple(output.shape) for output in session.get_outputs()] == [(1, 96, 96), (1,)]
    content = onnx.read_bytes()
    assert str(ROOT).encode() not in content and b".py" not in content
    assert sorted(path.name for path in onnx.parent.iterdir()) == ["det.onnx", "det.safetensors", "images"]


def readme_example(tmp_path: Path, onnx: Path, images: list[Path]) -> list[str]:
    """The lines that the README's program prints for the images."""
    text = (ROOT / "lab/export/README.md").read_text()
    example = re.search(r"```python\n(import contextlib.*?onnxruntime.*?)```", text, re.DOTALL)
    assert example and "lab." not in example[1]
    (tmp_path / "example.py").write_text(example[1])
    command = [sys.executable, "-I", tmp_path / "example.py", onnx, *images]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("grey_bits", [None, 12])
def test_the_readmes_example_reads_every_kind_of_pixel(grey_bits: int | None, fitted: Path, tmp_path: Path) -> None:
    """Every kind that tests/test_images.py knows: modes, layouts of greys, alpha, rotation, damaged metadata."""
    detector = Detector.load(fitted / "det.safetensors")
    detector.grey_bits = grey_bits
    export_detector.export(detector, tmp_path / "det.onnx", "onnx")
    images = []
    for name, content in KINDS.items():
        if "16" not in name or grey_bits is None:
            (tmp_path / name).write_bytes(content)
            images.append(tmp_path / name)
    if grey_bits:
        (tmp_path / "grey12in16.png").write_bytes(encoded((PART[..., 0].astype(np.uint16)) * 16))
        images.append(tmp_path / "grey12in16.png")
    assert len(images) >= 15
    for path, line in zip(images, readme_example(tmp_path, tmp_path / "det.onnx", images), strict=True):
        finding = detector.detect(path)
        assert line.startswith(f"{path}  {finding.verdict}  "), (line, finding.score)
        assert float(line.split("  ")[2].split()[0]) == pytest.approx(finding.score, abs=0.011), path.name


def test_the_readmes_example_says_what_detect_says(onnx: Path, tmp_path: Path) -> None:
    images = sorted((onnx.parent / "images").iterdir())
    lines = readme_example(tmp_path, onnx, images)
    detector = Detector.load(onnx.with_name("det.safetensors"))
    assert len(lines) == len(images)
    verdicts = set()
    for path, line in zip(images, lines):
        finding = detector.detect(image_files.read(path))
        score, marked = re.fullmatch(
            rf"{path}  {finding.verdict}  (\S+) σ, (\S+)% of the surface marked", line
        ).groups()
        assert float(score) == pytest.approx(finding.score, abs=0.011)
        coarse = 0.011 if finding.mask.shape == (96, 96) else 2  # the example marks at the detector's own size
        assert float(marked) == pytest.approx(100 * finding.mask.mean(), abs=coarse)
        verdicts.add(finding.verdict)
    assert len(verdicts) > 1


def test_torch_export_comes_back_without_a_pickle(fitted: Path, tmp_path: Path) -> None:
    detector, file = Detector.load(fitted / "det.safetensors"), tmp_path / "det.pt2"
    parity = export_detector.export(detector, file, "torch-export", [stripes(60), stripes(61, defect=True)])
    assert parity is not None and parity.images == 2 and parity.score == 0 and parity.verdicts == 0
    extra = {"lab.json": ""}
    program = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra["lab.json"]) == export_detector.export_metadata(detector)
    image = stripes(62, defect=True)
    pixel, score = program(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    own = detector.raw(image)
    assert torch.equal(score, own.image_score) and torch.equal(pixel, own.anomaly_map)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert not any(data[:2] in (b"PK", b"\x80\x02") for data in members.values())
    assert str(ROOT).encode() not in b"".join(members.values())


def test_a_departure_leaves_no_file(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector.load(fitted / "det.safetensors")
    departed = lambda program, *_: lambda x: [1.001 * values for values in program.module()(x)]
    monkeypatch.setattr(file_formats, "write_torch_export", departed)
    with pytest.raises(LabError, match=r"score 1\.0e-03 \(.* σ\), of a map 1\.0e-03; "):
        export_detector.export(detector, tmp_path / "det.pt2", "torch-export", [stripes(60)])
    assert not list(tmp_path.iterdir())


def test_a_score_that_is_no_number_leaves_no_file(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN is greater than nothing: no comparison lets it pass, wherever among the images it comes."""
    detector = Detector.load(fitted / "det.safetensors")
    for spoilt in (0, 1):
        for first in (True, False):
            scored = iter([first, not first])

            def nan_once(program, *_, spoilt=spoilt, scored=scored):
                run = program.module()
                return lambda x: [
                    v * (np.nan if next_spoilt and i == spoilt else 1)
                    for next_spoilt in [next(scored)]
                    for i, v in enumerate(run(x))
                ]

            monkeypatch.setattr(file_formats, "write_torch_export", nan_once)
            with pytest.raises(LabError, match="not exported, beyond a relative difference"):
                export_detector.export(detector, tmp_path / "det.pt2", "torch-export", [stripes(60), stripes(61)])
            assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_one_sentence(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["export", str(fitted / "det.safetensors"), "-o"]
    assert main([*arguments, str(tmp_path / "absent/det.onnx")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    with monkeypatch.context() as bare:
        bare.setattr(importlib.util, "find_spec", lambda name: None)
        assert main([*arguments, str(tmp_path / "det.onnx")]) == 2
    assert "pip install onnxscript onnxruntime" in capsys.readouterr().err
    method = METHODS["patchcore"]
    whole = method.score
    monkeypatch.setattr(method, "score", lambda self, x: whole(self, x if float(x.mean()) > 0.1 else 1 - x))
    assert main([*arguments, str(tmp_path / "det.onnx")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: PatchCore cannot be exported: its score is no fixed graph")
    assert error.count("\n") == 1 and not list(tmp_path.iterdir())
    with pytest.raises(LabError, match="not calibrated"):
        export_detector.export(Detector("patchcore"), tmp_path / "det.pt2", "torch-export")


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_scores_alike_on_20_images(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """At the sizes of `live`, one epoch."""
    few = {k: 1 for k in METHODS[name].Settings.fields() if "epochs" in k}
    detector = Detector(name, **preset_settings(name, "live", few)).fit([stripes(i, size=256) for i in range(12)])
    images = [stripes(100 + i, defect=i % 2 == 1, size=256) for i in range(20)]
    for file_format in export_detector.FORMATS:
        parity = export_detector.export(detector, tmp_path / f"det.{file_format}", file_format, images)
        assert parity is not None and parity.score < 1e-4 and parity.sigma < 0.1
        with capsys.disabled():
            print(f"\n{name}, {file_format}: {parity.statement()}")
    assert np.isfinite(detector.detect(images[1]).anomaly_map).all()
