"""A traced graph as a file: ONNX, or an archive of torch.export."""

import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..errors import LabError
from .graph import Runner, silence

PACKAGES = ("onnxscript", "onnxruntime")  # that only ONNX needs
MAX_BYTES = 2**31 - 2**24  # of tensors in one file: protobuf ends at 2 GB, the graph needs a little


def check_onnx_packages() -> None:
    """Raises LabError where a package that ONNX needs is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise LabError(f"ONNX needs packages that are not installed: pip install {' '.join(missing)}")


def write_onnx(program: ExportedProgram, metadata: str, path: Path) -> Runner:
    """Writes an ONNX file; returns what runs it on the CPU. Raises LabError for more than 2 GB of tensors."""
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


def write_torch_export(program: ExportedProgram, metadata: str, path: Path) -> Runner:
    """Writes an archive of torch.export; returns what runs it, loaded again."""
    program.example_inputs = None  # the one thing that the archive would hold as a pickle
    archive = io.BytesIO()
    with silence():
        torch.export.save(program, archive, extra_files={"lab.json": metadata})
        path.write_bytes(archive.getbuffer())
        archive.seek(0)
        return torch.export.load(archive).module()
