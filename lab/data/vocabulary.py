"""The words by which data sets say what an image is: names of folders, files, columns and values. Every reader uses it.

Names are compared without case, in one Unicode form, with "_" for blanks, dots and hyphens. "good" is the one word that
the rest of the project uses for a normal image. What no word here says is unknown, never good.
"""

import re
import unicodedata
from pathlib import PurePath, PurePosixPath
from typing import Any

GOOD = set("good ok okay normal sound healthy intact flawless undamaged nominal pass passed io non_defective".split())
GOOD |= set("nondefective no_defect no_defects nodefect defect_free anomaly_free free_of_defects".split())
BAD = set("bad ko ng nok nio no_good not_ok not_good ungood defect defects defective defected def faulty fault".split())
BAD |= set("fail failed reject rejected damaged broken anomaly anomalies anomalous abnormal unhealthy".split())
MASKS = set("mask masks ground_truth groundtruth gt label labels seg segmentation segmentations annotations".split())
TRAIN, TEST = {"train", "training"}, {"test", "testing", "test_public"}
VIEWS = set("rgb img imgs image images".split())  # folders that hold the images of the folder above, beside other data
OTHER_DATA = {"xyz", "depth", "depths", "normals", "pointcloud", "pcd"}  # folders whose images show no part
UNSAID = set("no not non un without free train training test testing val valid validation".split())  # see `role`

_MASK_WORD = r"(?:mask|label|gt|seg|segmentation|ground_?truth|annotation)"
MASK_SUFFIX = re.compile(rf"[ _.-]+{_MASK_WORD}[ _-]?\d*$", re.IGNORECASE)  # what a mask's name has beyond its image's
MASK_PREFIX = re.compile(rf"^{_MASK_WORD}[ _.-]+", re.IGNORECASE)
MASK_COLUMN = re.compile(r"mask|ground.?truth|segment|(^|_)gt(_|$)", re.IGNORECASE)
PATH_COLUMN = re.compile("path|file|^image|mask", re.IGNORECASE)

# Columns of a table, by their plain names; the first that is there counts.
DEFECT_COLUMNS = ("defect", "defect_type", "anomaly_type", "anomaly_class")
LABEL_COLUMNS = tuple(
    "label labels anomaly is_anomaly is_anomalous defective is_defective target class classes".split()
)
LABEL_COLUMNS += tuple("status verdict result quality y".split())
GOOD_COLUMNS = ("good", "is_good", "ok", "is_ok", "is_normal", "normal")  # true, or 1, means good
CATEGORY_COLUMNS = ("object", "category", "product", "class_name", "cls_name")


def plain(name: str) -> str:
    """A name as it is compared: "Non-Defective " -> "non_defective"."""
    return re.sub(r"[\s._-]+", "_", unicodedata.normalize("NFC", name).casefold()).strip("_")


def role(name: str) -> str:
    """What a folder or a label of this name means: "good", "bad" or "mask"; "" where it says nothing.

    Beyond the words themselves, a name with one of the words for good or for bad in it counts: "ok_front". Not so with
    a word that turns the meaning, or parts the images otherwise: "not_ok_front", "test_good".
    """
    if exact := exact_role(name):
        return exact
    words = set(plain(name).split("_"))
    found = {role for names, role in ((GOOD, "good"), (BAD, "bad")) if names & words}
    return found.pop() if len(found) == 1 and not words & (UNSAID | MASKS) else ""


def exact_role(name: str) -> str:
    """The same by the words themselves alone."""
    key = plain(name)
    return next((role for names, role in ((GOOD, "good"), (BAD, "bad"), (MASKS, "mask")) if key in names), "")


def is_good(name: str) -> bool:
    """Whether a folder or a label of this name means normal images."""
    return role(name) == "good"


def bad_value(value: Any, column: str) -> bool | None:
    """Whether a value of a column of labels means a defective image; None where no rule knows it.

    0 and False are good, 1 and True are not; the other way round in a column whose name says that it marks good ones.
    """
    if isinstance(value, str) and value.strip() not in ("0", "1"):
        known = {"good": False, "bad": True}.get(role(value))
        truth = {"true": True, "false": False}.get(plain(value), known)
        if truth is None or truth is known:
            return known
        value = truth
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number not in (0, 1):  # NaN is neither
        return None
    return bool(number) != (plain(column) in GOOD_COLUMNS)


def image_names(mask: str) -> list[str]:
    """The names, without or with their ending, that the image of a mask file may have; the likeliest first."""
    stem = PurePosixPath(mask).stem
    return list(dict.fromkeys([stem, MASK_SUFFIX.sub("", stem), MASK_PREFIX.sub("", stem)]))


def is_mask(path: str) -> bool:
    """Whether a file's name has what masks have beyond their images' names."""
    return len(image_names(path)) > 1


def in_mask_folder(path: PurePath) -> bool:
    """Whether a folder of a relative path is one of masks."""
    return any(plain(part) in MASKS for part in path.parts[:-1])


def side_of(path: PurePath) -> tuple[str, bool]:
    """("good", "bad", "mask" or "", whether it is kept for testing) of a file, by the folders it lies in."""
    folders = [plain(part) for part in path.parts[:-1]]
    tested = any(folder in TEST for folder in folders)
    if in_mask_folder(path):
        return "mask", tested
    roles = [found for part in reversed(path.parts[:-1]) if (found := role(part)) in ("good", "bad")]
    in_kind = tested and folders[-1] not in TEST | VIEWS  # test/scratch/000.png
    return (roles[0] if roles else "bad" if in_kind else ""), tested


def defect_folder(label: str) -> str:
    """ "good", or the label of a defect as the name of a folder."""
    return "good" if is_good(label) else re.sub(r"[^\w-]+", "_", label).strip("_") or "anomaly"
