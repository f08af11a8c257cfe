"""The field as its survey orders it: the families of methods, its public sets, and the question it leaves open."""

from typing import NamedTuple

CITATION = (
    "Y. Cui, Z. Liu, S. Lian. A Survey on Unsupervised Anomaly Detection Algorithms for Industrial Images. "
    "IEEE Access, 2023. doi:10.1109/ACCESS.2023.3282993"
)
QUESTION = (
    "A false alarm costs a manual check; a missed defect ships an inferior product. "
    "Moving the threshold only trades one for the other. "
    "To lower both at once a method has to drive good and defective images apart, and that is the open question."
)


class Family(NamedTuple):
    """A family of methods."""

    idea: str  # what is learned, and what then counts as anomalous
    cost: str  # the survey's comparison
    others: str  # its examples
    parts: tuple[str, ...] = ()  # methods of this project that use the idea as one part among others


FAMILIES = {  # by the name that methods give as their family
    "reconstruction": Family(
        "Normal images, or features of them, are encoded and decoded; the error is the anomaly.",
        "Trains expensively, scores fast.",
        "autoencoders, GANs, student and teacher as in STPM, DFR",
    ),
    "normalizing flow": Family(
        "A bijection carries normal features to a known density; a low likelihood is the anomaly.",
        "Trains expensively.",
        "DifferNet, CFLOW, FastFlow",
    ),
    "representation": Family(
        "Pretrained features of normal images are stored; the distance to them is the anomaly.",
        "Needs no training, but memory for its gallery.",
        "SPADE, PaDiM, PatchCore, CFA",
    ),
    "data augmentation": Family(
        "Synthetic anomalies are made, and a network learns to tell them apart.",
        "Depends on the data.",
        "DRAEM, CutPaste, NSA",
        ("rb_ae", "cdo", "local_occ"),
    ),
    "algorithm enhancements": Family(
        "Losses, attention and interpretability, to be added to any of the others.", "", "FCDD, IGD"
    ),
}


class PublicSet(NamedTuple):
    """One of the survey's sets; `downloadable` is its name in `lab.data.downloadable_sets`, which has its counts."""

    contents: str
    size: str
    downloadable: str = ""


SETS = {  # by the name of the layout in `lab.data.layouts`
    "MVTec AD": PublicSet("objects and textures, with masks", "15 categories, 3,629 + 1,725 images", "mvtec"),
    "BTAD": PublicSet("products, with masks", "2,830 images of 3 products", "btad"),
    "DAGM 2007": PublicSet("artificial textures", "10 classes, 8,050 + 8,050 images"),
    "MTD": PublicSet("magnetic tiles, with masks", "1,344 images in 6 classes"),
    "KolektorSDD": PublicSet("commutators, with masks", "399 images, 52 of them defective"),
    "ELPV": PublicSet("solar cells, with a probability of a defect", "2,624 images of 300 x 300"),
    "AITEX": PublicSet("fabric strips, with masks", "140 good and 105 defective images of 4096 x 256"),
}
