"""The licences of data sets: what is known of public ones, what a file beside the images says, what a pull writes."""

import re
from collections.abc import Iterable
from pathlib import Path

_TERMS = {
    "MVTec AD": "CC BY-NC-SA 4.0 (Bergmann et al. 2019)",
    "MVTec LOCO AD": "CC BY-NC-SA 4.0 (Bergmann et al. 2022)",
    "MVTec 3D-AD": "CC BY-NC-SA 4.0 (Bergmann et al. 2022)",
    "PIPED": "CC BY 4.0 (Bianconi et al. 2014)",
    "BTAD": "for research, terms at its source (Mishra et al. 2021)",
    "VisA": "CC BY 4.0 (Zou et al. 2022)",
    "DAGM 2007": "CC BY 4.0 (Wieler and Hahn 2007)",
    "MTD": "free for research, cite Huang et al. 2020",
    "KolektorSDD": "CC BY-NC-SA 4.0 (Tabernik et al. 2020)",
    "KolektorSDD2": "CC BY-NC-SA 4.0 (Božič et al. 2021)",
    "ELPV": "CC BY-NC-SA 4.0 (Buerhop-Lutz et al. 2018)",
    "AITEX": "for research, its source states no licence (Silvestre-Blanes et al. 2019)",
}
LICENCES = {name: f"{name}: {terms}" for name, terms in _TERMS.items()}  # by the name of the set, mostly its layout's
_SHARED_LAYOUT = "MVTec AD"  # other sets are laid out like it, so the layout alone does not name the set
_BY_FOLDER = {"loco": "MVTec LOCO AD", "mvtec": "MVTec AD", "piped": "PIPED"}  # part of the folder's name -> set
_MVTEC = set(  # categories of MVTec AD and of MVTec LOCO, known where the folder has another name
    "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor wood zipper "
    "breakfast_box juice_bottle pushpins screw_bag splicing_connectors".split()
)
_SHORT = {"Attribution": "CC BY", "NonCommercial": "NC", "ShareAlike": "SA", "NoDerivatives": "ND"}
_PULLED = "Pulled from "  # begins the second line of our own LICENCE.txt, whose first is the licence


def find_licence(folders: Iterable[Path], name: str, category: str, layout: str) -> str:
    """One line: what a licence or readme file in the folders says, else what is known of the set.
    `folders` are those of the category, then of the set `name`; `layout` is the one that was recognised."""
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.iterdir()):
            named_so = re.match(r"(licen[cs]e|copying|readme)", path.name, re.IGNORECASE) and path.is_file()
            if named_so and (line := _read_licence(path, name)):
                return line
    if layout in LICENCES and layout != _SHARED_LAYOUT:
        return LICENCES[layout]
    if known := next((known for part, known in _BY_FOLDER.items() if part in name.lower()), ""):
        return LICENCES[known]
    if layout == _SHARED_LAYOUT and category in _MVTEC:
        return f"{name}: unknown; if this is MVTec's {category}, it is CC BY-NC-SA 4.0 (Bergmann et al.)"
    return f"{name}: unknown, see the source of the images"


def _read_licence(path: Path, name: str) -> str:
    """The Creative Commons licence that a text names, or the first line of a file of ours; "" without either."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read(65536).splitlines()
    if lines[1:] and lines[1].startswith(_PULLED):
        return lines[0]
    text = " ".join(" ".join(lines).split())
    match = re.search(r"\b(CC[ -]BY|Attribution)(-\w+)*[ -]\d\.\d|\bCC0\b", text, re.IGNORECASE)
    if not match:
        return ""
    terms = re.sub(r"\w+", lambda word: _SHORT.get(word[0], word[0]), match[0])
    return f"{name}: {terms} (says its {path.name})"


def write_licence(folder: Path, licence: str, source: str, contents: str) -> None:
    """Writes LICENCE.txt of a pulled category: its licence, where it was pulled from, what it holds."""
    (folder / "LICENCE.txt").write_text(f"{licence}\n{_PULLED}{source}\n{contents}\n", encoding="utf-8")
