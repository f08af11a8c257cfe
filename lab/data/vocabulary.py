"""The words by which data sets say what an image is: names of folders, files and columns. Every reader uses this list.

Names are compared in lower case; "good" is the one word that the rest of the project uses for a normal image.
"""

import re
from pathlib import PurePosixPath

GOOD = ("good", "ok", "normal", "sound", "healthy", "non-defective", "no_defect")
BAD = ("bad", "ko", "ng", "defect", "defective", "anomaly", "anomalous", "abnormal")
MASK_FOLDERS = ("mask", "masks", "ground_truth")

MASK_SUFFIX = re.compile(r"_(mask\d*|label)$")  # what the name of a mask has beyond its image's
MASK_COLUMN = re.compile(r"mask|ground.?truth|segment|(^|_)gt(_|$)", re.IGNORECASE)
PATH_COLUMN = re.compile("path|file|^image|mask")

# Columns of a table, the first that is there counts.
DEFECT_COLUMNS = ("defect", "defect_type", "anomaly_type", "anomaly_class")
LABEL_COLUMNS = ("label", "anomaly", "is_anomaly", "target", "class")
CATEGORY_COLUMNS = ("object", "category", "product", "class_name", "cls_name")


def is_good(name: str) -> bool:
    """Whether a folder or a label of this name means normal images."""
    return name.lower() in GOOD


def folder_role(name: str) -> str:
    """What a folder of this name holds: "good", "bad" or "mask"; "" where the name says nothing."""
    roles = {GOOD: "good", BAD: "bad", MASK_FOLDERS: "mask"}
    return next((role for names, role in roles.items() if name.lower() in names), "")


def image_stem(mask: str) -> str:
    """The name of the image that a mask file belongs to, both without their endings."""
    return MASK_SUFFIX.sub("", PurePosixPath(mask).stem)


def is_mask(path: str) -> bool:
    """Whether a file's name has the suffix of a mask."""
    return bool(MASK_SUFFIX.search(PurePosixPath(path).stem))


def defect_folder(label: str) -> str:
    """ "good", or the label of a defect as the name of a folder."""
    return "good" if is_good(label) else re.sub(r"[^\w-]+", "_", label).strip("_") or "anomaly"
