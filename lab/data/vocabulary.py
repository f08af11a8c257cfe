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
NEUTRAL = set("image images img imgs part parts picture pictures photo photos sample samples product products".split())
NEUTRAL |= set("front back top bottom side left right view data set only".split())  # see `role`
UNSURE = set("unknown unlabeled unlabelled unsure unclear maybe todo".split())  # labels that are none
NO_DEFECT = {"none", "", "no", "0", "false", "nan", "na", "n_a", "null"}  # of a column that names a defect

_MASK_WORD = r"(?:masks?|labels?|gt|seg|segmentation|ground_?truth|annotation)"
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
EITHER_COLUMNS = ("status", "verdict", "result", "quality", "class", "classes", "y")  # whose numbers may mean either
GOOD_COLUMNS = ("good", "is_good", "ok", "is_ok", "is_normal", "normal")  # true, or 1, means good
LABELS = (*LABEL_COLUMNS, *GOOD_COLUMNS, *DEFECT_COLUMNS)
CATEGORY_COLUMNS = ("object", "category", "product", "class_name", "cls_name")


def plain(name: str) -> str:
    """A name as it is compared: "Non-Defective " -> "non_defective"."""
    return re.sub(r"[\s._-]+", "_", unicodedata.normalize("NFC", name).casefold()).strip("_")


def role(name: str) -> str:
    """What a folder or a label of this name means: "good", "bad" or "mask"; "" where it says nothing.

    Beyond the words themselves, a name counts that has one of them beside words that change nothing: "ok_front 2". Not
    so with any other word, which may turn the meaning: "never_ok", "ok_stamp_missing", "test_good".
    """
    if exact := exact_role(name):
        return exact
    words = {word for word in plain(name).split("_") if not word.isdigit()} - NEUTRAL
    return exact_role(words.pop()) if len(words) == 1 else ""


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
    Numbers of a column that may mean either, as "result", are unknown.
    """
    if plain(column) in DEFECT_COLUMNS and isinstance(value, str):
        text = plain(value)
        return False if text in NO_DEFECT or is_good(value) else None if text in UNSURE else True
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
    if number not in (0, 1) or plain(column) in EITHER_COLUMNS:  # NaN is neither
        return None
    return bool(number) != (plain(column) in GOOD_COLUMNS)


def image_names(mask: str) -> list[str]:
    """The names, without or with their ending, that the image of a mask file may have; the likeliest first."""
    stem = PurePosixPath(mask).stem
    bare = MASK_PREFIX.sub("", stem)
    others = [f"{word}{mark}{bare}" for word in ("image", "img") for mark in "_-"] if bare != stem else []
    return list(dict.fromkeys([stem, MASK_SUFFIX.sub("", stem), bare, *others]))


def is_mask(path: str) -> bool:
    """Whether a file's name has what masks have beyond their images' names."""
    return len(image_names(path)) > 1


def in_mask_folder(path: PurePath) -> bool:
    """Whether a folder of a relative path is one of masks."""
    return any(is_mask_folder(part) for part in path.parts[:-1])


def is_mask_folder(name: str) -> bool:
    """Whether a folder of this name holds masks; a label may be missing from a part, too: "missing_label" is none."""
    key = plain(name)
    return key in MASKS or key.startswith("segmentation") or bool({"mask", "masks", "gt"} & set(key.split("_")))


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
