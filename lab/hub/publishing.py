"""Detectors pushed to the Hugging Face Hub: a repository holds one safetensors file and its card."""

from pathlib import Path

from ..bench.rows import Row, Rows
from ..detector import Detector
from ..errors import LabError
from ..parts import features
from .detector_card import write_card
from .detector_files import FILE, check_name
from .hub_errors import readable_errors


def push(path: str | Path, repository: str, *, private: bool = False, row: Row | None = None) -> str:
    """Uploads a detector's file and its card to the repository "user/name", created if needed; returns its address.
    `row` is what the bench measured of these settings, see `matching_row`. Raises LabError as `Detector.load`, for a
    missing or refused token, and for a repository that is public where a private one is asked for."""
    detector = Detector.load(path)
    card = write_card(detector, repository, row).encode()
    with readable_errors(check_name(repository)):
        import huggingface_hub as client

        if not client.get_token():
            advice = "log in with `hf auth login`, or set HF_TOKEN to one that may write"
            raise LabError(f"no token of the Hub is at hand: {advice}")
        api = client.HfApi()
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise LabError(f"{repository} is there already and public: name another, or make it private on its page")
        files = [client.CommitOperationAdd(FILE, str(path)), client.CommitOperationAdd("README.md", card)]
        try:
            api.create_commit(repository, files, commit_message=f"{detector.method.title} detector and its card")
        except RuntimeError as error:  # the client's, around the real one
            raise error.__cause__ or LabError(f"{repository}: the upload failed ({error}); push again") from None
        return f"{api.endpoint}/{repository}"


def matching_row(detector: Detector, folder: Path) -> Row:
    """The row of `bench --output folder` of the detector's method, settings, weights, set and seed.
    It was trained on all images. Raises LabError where there is none."""
    dataset, category = detector.origin.get("dataset"), detector.origin.get("category")
    expected: Row = dict(dataset=dataset, category=category, method=detector.id, seed=detector.seed, train_limit=None)
    expected |= dict(settings=detector.settings.as_dict(), weights=features.backbone_weights(detector.settings))
    if rows := [row for row in Rows(folder) if all(row.get(name) == value for name, value in expected.items())]:
        return rows[-1]
    reason = f"has no row of {detector.id} with these settings and weights on {dataset}/{category}"
    raise LabError(f"{folder} {reason} with seed {detector.seed}; `python -m lab bench` measures one")
