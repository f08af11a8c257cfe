"""A traced graph as an archive of torch.export."""

import io
from pathlib import Path

import torch

from .graph import Runner, silence


def write(program: torch.export.ExportedProgram, metadata: str, path: Path) -> Runner:
    """Writes the archive; returns what runs it, loaded again."""
    program.example_inputs = None  # the one thing that the archive would hold as a pickle
    archive = io.BytesIO()
    with silence():
        torch.export.save(program, archive, extra_files={"lab.json": metadata})
        path.write_bytes(archive.getbuffer())
        archive.seek(0)
        return torch.export.load(archive).module()
