"""A traced graph as an ONNX file."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from ..errors import LabError
from .graph import Runner, silence

PACKAGES = ("onnxscript", "onnxruntime")  # that only ONNX needs
MAX_BYTES = 2**31 - 2**24  # of tensors in one file: protobuf ends at 2 GB, the graph needs a little


def check_packages() -> None:
    """Raises LabError where a package that ONNX needs is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise LabError(f"ONNX needs packages that are not installed: pip install {' '.join(missing)}")


def write(program: torch.export.ExportedProgram, metadata: str, path: Path) -> Runner:
    """Writes the file; returns what runs it on the CPU. Raises LabError for more than 2 GB of tensors."""
    values = [*program.state_dict.values(), *program.constants.values()]
    size = sum(value.nbytes for value in values if isinstance(value, Tensor))
    if size > MAX_BYTES:
        raise LabError(f"{size / 1e9:.1f} GB do not fit an ONNX file, which ends at 2 GB; use --format torch-export")
    import onnxruntime

    inputs, outputs = ["image"], ["map", "score"]
    with silence():
        onnx = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs)
    assert onnx is not None
    for node in onnx.model.graph:
        node.metadata_props.clear()  # the exporter's own stack traces
    onnx.model.metadata_props["lab"] = metadata
    onnx.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: session.run(outputs, {"image": image.numpy()})
