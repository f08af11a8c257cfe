"""anomalib's PatchCore on the same images, weights and machine as a bench: rows of the same form, to compare.

`pip install anomalib`, which this project does not need otherwise, then (with MALLOC_MMAP_THRESHOLD_=1000000, without
which its coreset scatters gigabytes over the heap)
`python -m lab.bench.anomalib_rows --data samples --train 20 --seeds 0,1,2 -o DIR`. Its own defaults hold: images of
256 x 256, layers 2 and 3 pooled over 3 x 3, a coreset of a tenth, nine neighbours; its backbone is the ResNet-18 of
`--weights`, timm's `resnet18.tv_in1k`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from .. import data, image_files
from ..data.rotated_sets import unaligned
from ..detector import Detector
from ..file_hashes import file_sha256
from ..method import Scores
from ..parts import features
from ..version import __version__
from .measurement import Bench, evenly_spaced, provenance
from .rows import Row, Rows, format_row

BACKBONE = "resnet18.tv_in1k"
SIZE, RATIO, LAYERS = 256, 0.1, ("layer2", "layer3")


class AnomalibPatchCore(Detector):
    """Scores as anomalib's model gives them; never calibrated."""

    def __init__(self, weights: Path):
        super().__init__()
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        self.model: Any = PatchcoreModel(layers=LAYERS, backbone="resnet18", pre_trained=False)
        network = self.model.feature_extractor.feature_extractor
        stored = safetensors.torch.load_file(weights)
        names = network.state_dict().keys()
        network.load_state_dict({name: stored[name] for name in names if name in stored}, strict=False)
        lacking = [name for name in names if name not in stored and not name.endswith("num_batches_tracked")]
        assert not lacking, f"{weights} lacks {lacking[0]}"

    @torch.no_grad()
    def learn(self, images: list[np.ndarray], seed: int) -> None:
        torch.manual_seed(seed)
        self.model.train()
        self.model.feature_extractor.eval()
        for image in images:
            self.model(self._batch(image))
        self.model.subsample_embedding(RATIO)
        self.model.eval()

    @torch.no_grad()
    def raw(self, image: image_files.AnyImage, number: int | None = None) -> Scores:
        prediction = self.model(self._batch(self.read(image)))
        return Scores(prediction.anomaly_map[:, 0], prediction.pred_score.flatten())

    def _batch(self, image: np.ndarray) -> torch.Tensor:
        resized = torch.from_numpy(image_files.resize(image, SIZE)).permute(2, 0, 1)[None].float() / 255
        return features.imagenet_norm(resized)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--categories", default="")
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--rto", type=float)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--weights", type=Path, default=None, help="default: as --backbone finds them")
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    weights, kept = args.weights or features.find_weights(BACKBONE), Rows(Path(args.output))
    bench = Bench()
    for category in args.categories.split(",") if args.categories else data.categories(args.data):
        dataset = data.load(args.data, category)
        dataset = unaligned(dataset, args.rto) if args.rto is not None else dataset
        for seed in map(int, args.seeds.split(",")):
            chosen = evenly_spaced(len(dataset.train), args.train, seed)
            row: Row = dict(dataset=dataset.name, category=category, method="anomalib patchcore", seed=seed)
            row |= dict(train=len(chosen), train_limit=args.train, folds=0, eval_size=SIZE, version=__version__)
            row |= dict(settings=dict(layers=list(LAYERS), ratio=RATIO, size=SIZE))
            row |= dict(weights=dict(tag=BACKBONE, sha256=file_sha256(weights)))
            if kept_row := kept.find(row):
                print(format_row(kept_row), flush=True)
                continue
            images, detector = [dataset.train[i].image() for i in chosen], AnomalibPatchCore(weights)
            began = time.perf_counter()
            detector.learn(images, seed)
            row |= dict(fit_seconds=round(time.perf_counter() - began, 2), peak_mb=0)
            row |= bench.test(detector, dataset) | dict(notes={}) | provenance("python -m lab.bench.anomalib_rows")
            kept.add(row)
            print(format_row(row), flush=True)


if __name__ == "__main__":
    main()
