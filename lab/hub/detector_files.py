"""The file of a detector that `python -m lab push` uploaded to the Hugging Face Hub."""

import re
from pathlib import Path

from ..errors import LabError
from .hub_errors import readable_errors

FILE = "detector.safetensors"
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def detector_file(repository: str, revision: str) -> tuple[Path, str]:
    """(local copy of the detector's file in the repository "user/name", downloaded once; the commit it is of).
    LabError for a repository or revision that does not exist, is gated, cannot be reached or holds no detector."""
    with readable_errors(check_name(repository)):
        import huggingface_hub as client

        try:
            path = Path(client.hf_hub_download(repository, FILE, revision=revision))
            return path, path.parent.name  # .../snapshots/<commit>/detector.safetensors
        except client.errors.RemoteEntryNotFoundError:
            pickles = [
                name for name in client.HfApi().list_repo_files(repository, revision=revision) if name.endswith(PICKLES)
            ]
            reason = f": {pickles[0]} is a pickle, which runs code when it is opened" if pickles else ""
            raise LabError(f"{repository} holds no {FILE}, as `python -m lab push` leaves it{reason}") from None
        except client.errors.LocalEntryNotFoundError as error:
            raise error.__cause__ or error from None  # the reason why the Hub could not be asked


def check_name(repository: str) -> str:
    """The name as given. LabError where it is not of the form "user/name"."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise LabError(f"{repository!r} names no repository: it must be user/name")
    return repository
