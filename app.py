"""Starts the page: `python app.py`; on port 7860, or the one that GRADIO_SERVER_PORT names."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "0")  # before gradio is imported

import torch

from lab import ui

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    ui.launch(ui.build(), int(os.environ.get("GRADIO_SERVER_PORT") or 7860))
