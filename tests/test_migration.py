"""Files of version 0.1 under the names of 0.2."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import migrate_0_1 as migration
import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import ROOT

from lab import Detector, LabError, quantized_safetensors, ready_detectors

READY = ROOT / "weights/cloth/autoencoder.safetensors"


def deflated(q: np.ndarray) -> torch.Tensor:
    """Whole numbers as format 3 keeps them: 0, -1, 1, -2 -> 0, 1, 2, 3; all low bytes, middle bytes, high bytes."""
    folded = ((q << 1) ^ (q >> 31)).astype("<u4").ravel()
    planes = folded.view(np.uint8).reshape(-1, 4).T[:3]
    return torch.frombuffer(bytearray(zlib.compress(planes.tobytes(), 9)), dtype=torch.uint8)


@pytest.fixture
def old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ready detector as version 0.1 wrote it: other keys, other compression, other names of settings."""
    metadata, tensors = quantized_safetensors.read(READY)
    monkeypatch.setattr(migration, "__version__", metadata["version"])
    for name, shape in metadata["quantized_shapes"].items():
        tensors[name] = deflated(quantized_safetensors._decompress(tensors[name], shape).int().numpy())
    names = {new: old for names in (migration.METADATA, migration.SETTINGS) for old, new in names.items()}
    old = {names.get(key, key): value for key, value in metadata.items()}
    old["settings"] = {names.get(key, key): value for key, value in metadata["settings"].items()}
    calibration_names = {new: old for old, new in migration.CALIBRATION.items()}
    old["calibration"] = {calibration_names.get(key, key): value for key, value in metadata["calibration"].items()}
    note = old["notes"].pop(ready_detectors.QUANTIZATION_NOTE)
    shift = note.removesuffix(" of their range").rpartition(" ")[2]
    bits = note.partition(";")[0]
    old["notes"]["stored"] = f"{bits}, which moves scores by {shift} of their range at most"
    old |= {"format": 3, "version": "0.1.0", "key": "0" * 40}
    path = tmp_path / "cloth/autoencoder.safetensors"
    path.parent.mkdir()
    safetensors.torch.save_file(tensors, path, {"lab": json.dumps(old, sort_keys=True)})
    return path


def test_a_ready_detector_is_converted_bit_for_bit_and_once(old_file: Path) -> None:
    with pytest.raises(LabError, match=r"format 3 \(written by version 0.1.0\).*fit it again"):
        Detector.load(old_file)
    for _ in range(2):
        migration.main([str(old_file)])
        assert old_file.read_bytes() == READY.read_bytes()


def test_another_detector_is_not_converted(old_file: Path) -> None:
    other = old_file.with_name("cdo.safetensors")
    shutil.copy(old_file, other)
    with pytest.raises(LabError, match="its settings are not those of cloth/cdo; make it again"):
        migration.main([str(other)])
    assert other.read_bytes() == old_file.read_bytes()


def test_a_study_gets_the_names_of_settings_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "ablation.json"
    row = {
        "settings": {"size": 64, "rate": 0.1, "clip": 1.0},
        "command": "python -m lab bench --rate 0.1 --no-clip --data samples",
        "notes": {"reference": "a picture", "all": ["Pictures"]},
        "figures": {"image_auroc": 0.5},
    }
    path.write_text(json.dumps([row]))
    migration.main([str(path)])
    assert json.loads(path.read_text()) == [
        {
            "settings": {"size": 64, "learning_rate": 0.1, "grad_clip": 1.0},
            "command": "python -m lab bench --learning-rate 0.1 --no-grad-clip --data samples",
            "notes": {"reference": "an image", "all": ["Images"]},
            "figures": {"image_auroc": 0.5},
        }
    ]
