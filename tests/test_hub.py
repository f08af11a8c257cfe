"""Sets and weights from the Hub: what a server on loopback sends is what lies on disk, or one sentence says why."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mirrors
import numpy as np
import pytest
import safetensors.torch
import torch
from hub_server import Hub
from mirrors import BAD, GOOD, TRAIN, Tree, mvtec_row, table, tables, visa_row

from lab import data
from lab.__main__ import main
from lab.data import download_sources, pulled_sets
from lab.data.downloadable_sets import DOWNLOADABLE, SHA256, DownloadableSet
from lab.errors import Cancelled, LabError
from lab.hub import downloads
from lab.parts import features, pretrained_weights


@pytest.fixture(scope="session")
def tree() -> Tree:
    return mirrors.tree()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with mirrors.serving(monkeypatch, tmp_path / "cache") as server:
        yield server


def tar(tree: Tree, *more: tarfile.TarInfo) -> bytes:
    """A tar.xz like MVTec's: the wanted category among others."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as file:
        for path, content in [("readme.txt", b"hello"), ("license.txt", b"CC BY 9.0")]:
            file.addfile(sized(path, content), io.BytesIO(content))
        for category in ("bolt", "bottle"):
            for path, content in tree.items():
                file.addfile(sized(f"{category}/{path}", content), io.BytesIO(content))
        for entry in more:
            file.addfile(entry)
    return out.getvalue()


def sized(path: str, content: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    return entry


def btad(tree: Tree, category: str = "01") -> Tree:
    """The same in BTAD's layout: ok and ko, images and masks of one name."""
    files, number = {}, 0
    for path, content in tree.items():
        part, folder, _ = path.split("/")
        if part != "ground_truth":
            number += 1
            folder = "ok" if folder == "good" else "ko"
            files[f"{category}/{part}/{folder}/{number:04}.png"] = content
            if mask := tree.get(path.replace("test", "ground_truth", 1).replace(".png", "_mask.png")):
                files[f"{category}/ground_truth/ko/{number:04}.png"] = mask
    return files


def shown(dataset: data.Dataset, names: bool = True) -> set[tuple[str, str, str]]:
    """(name, hash of the image, hash of the mask) of every item; without names only the split and good or not."""
    items = set()
    for item in (*dataset.train, *dataset.test):
        mask = item.mask() if item.mask and item.bad else np.zeros(0)
        name = item.name if names else f"{item.name.split('/')[0]} {item.bad}"
        items.add((name, data.fingerprint([item.image()]), data.fingerprint([mask])))
    return items


@pytest.fixture(scope="session")
def original(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    """The images as they lie in a folder."""
    return data.load(str(laid(tmp_path_factory.mktemp("source") / "bottle", tree)))


def laid(folder: Path, tree: Tree) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def sentence(name: str, category: str | None = None, **more: Any) -> str:
    """What a failed pull says, after which nothing may lie where a reader looks."""
    with pytest.raises(LabError) as caught:
        pulled_sets.pull(name, category, **more)
    message = str(caught.value)
    assert "\n" not in message and len(message) > 20
    assert not any(path.is_file() for path in pulled_sets.folder().rglob("*"))
    return message


# MVTec AD ----------------------------------------------------------------------------------------------------------


def serve(server: Hub, form: str, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> str:
    """Puts the set where one of its sources has it, and nowhere else; the source."""
    parquet, folders, packed = DOWNLOADABLE["mvtec"].sources
    if form == "rows with images":
        server.repo("datasets", parquet, tables(tree, "bottle", mvtec_row))
        return parquet
    if form == "rows with paths":
        names = {path: "files/" + path.replace("/", "_", 1) for path in tree}

        def row(path: str, defect: str, image: bytes, mask: bytes | None) -> dict[str, Any]:
            drawn = f"ground_truth/{path.split('/', 1)[1][:-4]}_mask.png"
            return mvtec_row(path, defect, image, mask) | {
                "image_path": names[path], "mask_path": names[drawn] if mask else None,
            }  # fmt: skip

        images = {names[path]: content for path, content in tree.items()}
        server.repo("datasets", parquet, tables(tree, "bottle", row) | images)
        return parquet
    if form == "folders":
        both = {f"{category}/{path}": content for category in ("bottle", "cable") for path, content in tree.items()}
        server.page = 5
        server.repo("datasets", folders, both | {"README.md": b"# MVTec"})
        return folders
    archive = tar(tree)
    monkeypatch.setitem(SHA256, "mvtec_anomaly_detection.tar.xz", hashlib.sha256(archive).hexdigest())
    server.repo("datasets", packed, {"mvtec_anomaly_detection.tar.xz": archive})
    return packed


@pytest.mark.parametrize("form", ["rows with images", "rows with paths", "folders", "archive"])
def test_mvtec_from_each_of_its_forms(
    form: str, server: Hub, tree: Tree, original: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = serve(server, form, tree, monkeypatch)
    offers: list[download_sources.Offer] = []
    reports: list[tuple[float, str]] = []
    folder = pulled_sets.pull("mvtec", "bottle", announce=offers.append, report=lambda *values: reports.append(values))
    assert folder == pulled_sets.folder() / "mvtec" / "bottle"
    assert offers[-1].source.startswith(f"{source} at ") and offers[-1].licence == DOWNLOADABLE["mvtec"].licence
    assert len(offers[-1].passed) == DOWNLOADABLE["mvtec"].sources.index(source)
    assert all("no such repository" in reason for reason in offers[-1].passed)
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1

    dataset = data.load("mvtec", "bottle")
    assert shown(dataset) == shown(original)
    assert (dataset.name, dataset.category, dataset.licence) == ("mvtec", "bottle", DOWNLOADABLE["mvtec"].licence)
    assert "NC-SA" in dataset.licence and data.sets()["mvtec"] == str(pulled_sets.folder() / "mvtec")
    assert {path.relative_to(folder).as_posix() for path in files_in(folder)} == {*tree, "LICENCE.txt"}
    assert all((folder / path).read_bytes() == content for path, content in tree.items())
    licence, origin, counted = (folder / "LICENCE.txt").read_text().splitlines()
    assert licence == DOWNLOADABLE["mvtec"].licence and source in origin and "6 images to learn from" in counted
    kept = [path.name for path in files_in(downloads.cache_folder() / "downloads")]
    assert kept == ([".lock"] if form != "archive" else [".lock", SHA256["mvtec_anomaly_detection.tar.xz"]])

    requests = len(server.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pulled_sets.pull("mvtec", "bottle") == folder and len(server.log) == requests


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_only_the_category_asked_for_is_fetched(server: Hub, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, "folders", tree, monkeypatch)
    pulled_sets.pull("mvtec", "bottle")
    paths = {
        request.path.split("/resolve/")[1].split("/", 1)[1] for request in server.log if "/resolve/" in request.path
    }
    assert paths == {f"bottle/{path}" for path in tree}


def test_a_download_that_broke_off_is_continued(server: Hub, tree: Tree, original: data.Dataset) -> None:
    packs = tables(tree, "bottle", mvtec_row)
    server.repo("datasets", DOWNLOADABLE["mvtec"].sources[0], packs)
    server.cut("bottle.train-00000-of-00001.parquet", 70_000, 0, 0, 0, 0)
    assert "run the same again" in sentence("mvtec", "bottle")
    place = (
        downloads.cache_folder()
        / "downloads"
        / hashlib.sha256(packs["data/bottle.train-00000-of-00001.parquet"]).hexdigest()
    )
    assert place.with_suffix(".part").stat().st_size == 70_000 and not place.exists()
    before = len(server.requests("GET", place.name))
    pulled_sets.pull("mvtec", "bottle")
    (again,) = server.requests("GET", place.name)[before:]
    assert again.headers["Range"] == "bytes=70000-"
    assert shown(data.load("mvtec", "bottle")) == shown(original)


def test_a_line_that_breaks_again_and_again_still_gets_there(server: Hub, tree: Tree) -> None:
    server.repo("datasets", DOWNLOADABLE["mvtec"].sources[0], tables(tree, "bottle", mvtec_row))
    server.cut("bottle.train-00000-of-00001.parquet", *[9_000, 0, 0] * 4)
    pulled_sets.pull("mvtec", "bottle")
    ranges = [request.headers.get("Range") for request in server.requests("GET") if "/cdn/" in request.path]
    assert {f"bytes={9_000 * n}-" for n in range(1, 5)} <= set(ranges)


def test_the_token_is_shown_to_the_hub_alone(server: Hub, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.tokens = {"hf_secret"}
    server.repo("datasets", DOWNLOADABLE["mvtec"].sources[0], tables(tree, "bottle", mvtec_row), private=True)
    pulled_sets.pull("mvtec", "bottle")
    requests = [
        request for request in server.log if "/cdn/" in request.path or DOWNLOADABLE["mvtec"].sources[0] in request.path
    ]
    seen = {("/cdn/" in request.path, request.headers.get("Authorization")) for request in requests}
    assert seen == {(False, "Bearer hf_secret"), (True, None)}


# What can go wrong -------------------------------------------------------------------------------------------------


def test_another_hash_is_refused_and_thrown_away(server: Hub, tree: Tree) -> None:
    packs = tables(tree, "pcb1", visa_row)
    path = "data/pcb1.test-00000-of-00001.parquet"
    wrong = bytes(byte ^ (n == 999) for n, byte in enumerate(packs[path]))
    repo = server.repo("datasets", "BrachioLab/visa", packs, swapped={path: wrong})
    message = sentence("visa", "pcb1")
    assert path in message and "do not have the expected hash" in message and "try again" in message
    assert hashlib.sha256(packs[path]).hexdigest() not in {
        p.stem for p in files_in(downloads.cache_folder() / "downloads")
    }
    repo.swapped.clear()
    assert pulled_sets.pull("visa", "pcb1").is_dir()


def test_every_source_that_fails_is_named(server: Hub, tree: Tree) -> None:
    parquet, folders, packed = DOWNLOADABLE["mvtec"].sources
    server.repo("datasets", parquet, tables(tree, "bottle", mvtec_row), gated=True)
    server.repo("datasets", packed, {"mvtec_anomaly_detection.tar.xz": tar(tree)})
    message = sentence("mvtec", "bottle")
    gated, absent, other = message.split("; then ")
    assert "is gated" in gated and "hf auth login" in gated
    assert folders in absent and "no such repository" in absent
    assert packed in other and "not the official archive" in other


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image_path": None, "text": "x"}, "none of them images"),
        ({"label": None, "defect": None}, "none says which images are good"),
        ({"image_path": {"bytes": b"GIF", "path": "000.png"}}, "a row has no image in image_path"),
    ],
)
def test_a_changed_schema_is_explained(columns: dict[str, Any], expected: str, server: Hub, tree: Tree) -> None:
    def row(*values: Any) -> dict[str, Any]:
        return {k: v for k, v in (mvtec_row(*values) | columns).items() if v is not None or k == "mask_path"}

    server.repo("datasets", "some/set", tables(tree, "bottle", row))
    message = sentence("some/set", "bottle")
    assert expected in message and "has changed" in message and "some/set" in message


def test_missing_images_are_counted(server: Hub, tree: Tree) -> None:
    fewer = {path: content for path, content in tree.items() if path != "train/good/002.png"}
    server.repo("datasets", "BrachioLab/visa", tables(fewer, "pcb1", visa_row))
    message = sentence("visa", "pcb1")
    assert "holds 5 images to learn from" in message and "official set 6 images to learn from" in message
    masks = {path: content for path, content in tree.items() if "ground_truth" not in path}
    server.repo("datasets", "BrachioLab/visa", tables(masks, "pcb1", visa_row))
    assert "3 bad to test, 0 masks" in sentence("visa", "pcb1")


def test_what_lies_there_is_counted_too(server: Hub, tree: Tree) -> None:
    server.repo("datasets", "BrachioLab/visa", tables(tree, "pcb1", visa_row))
    folder = pulled_sets.pull("visa", "pcb1")
    next((folder / "train/good").iterdir()).unlink()
    with pytest.raises(LabError, match="delete this folder and pull it again"):
        pulled_sets.pull("visa", "pcb1")
    shutil.rmtree(folder)
    assert pulled_sets.pull("visa", "pcb1") == folder


def test_names_that_are_no_set(server: Hub) -> None:
    assert "there are mvtec, btad, visa" in sentence("mvtek", "bottle")
    assert "name a category with --category; it has bottle" in sentence("mvtec")
    assert "has no category cable; it has bottle" in sentence("mvtec", "cable")
    assert "no such repository" in sentence("nobody/nothing")
    server.repo("datasets", "some/texts", {"train.csv": b"a,b", "README.md": b"x"})
    assert "neither parquet nor folders" in sentence("some/texts")


def test_offline_and_unreachable(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in sentence("mvtec", "bottle") and not server.log
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert "cannot be reached" in sentence("mvtec", "bottle")
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/plain")
    server.plain["/plain/api/datasets/BrachioLab/visa"] = b"<html>log in to the guest network</html>"
    assert "what answered is not the Hub" in sentence("visa", "pcb1")


def test_a_full_disk(server: Hub, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    server.repo("datasets", "BrachioLab/visa", tables(tree, "pcb1", visa_row))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
        assert "are needed and 0.0 MB free" in sentence("visa", "pcb1")

    move = os.replace

    def full(source: Path, target: Path) -> None:
        if target.is_relative_to(pulled_sets.folder()):
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert "disk is full" in sentence("visa", "pcb1")
    count = len(server.requests("GET"))
    pulled_sets.pull("visa", "pcb1")
    assert not [request for request in server.requests("GET")[count:] if "/cdn/" in request.path]  # it had come whole


def test_what_is_declined_is_not_fetched(server: Hub, tree: Tree) -> None:
    server.repo("datasets", "BrachioLab/visa", tables(tree, "pcb1", visa_row))

    def decline(offer: download_sources.Offer) -> None:
        assert offer.size == sum(map(len, server.repos["datasets", "BrachioLab/visa"].files.values()))
        raise Cancelled

    with pytest.raises(Cancelled):
        pulled_sets.pull("visa", "pcb1", announce=decline)
    assert not any("/resolve/" in request.path for request in server.log)


def test_a_pull_can_be_stopped_and_taken_up(server: Hub, tree: Tree) -> None:
    server.repo("datasets", "BrachioLab/visa", tables(tree, "pcb1", visa_row))

    def stop(fraction: float, message: str) -> None:
        if message.startswith("writing test"):
            raise Cancelled

    with pytest.raises(Cancelled):
        pulled_sets.pull("visa", "pcb1", report=stop)
    assert not files_in(pulled_sets.folder()) and "visa" not in data.sets()
    assert pulled_sets.pull("visa", "pcb1").is_dir()


@pytest.mark.parametrize(
    ("path", "entry_type", "expected"),
    [
        ("bottle/train/good/9.png", tarfile.SYMTYPE, "is a link"),
        ("bottle/train/good/9.png", tarfile.LNKTYPE, "is a link"),
        ("bottle/train/good/../../../../9.png", tarfile.REGTYPE, "leads out of the archive"),
        ("/bottle/train/good/9.png", tarfile.REGTYPE, "leads out of the archive"),
    ],
)
def test_an_archive_may_not_reach_out(
    path: str, entry_type: bytes, expected: str, server: Hub, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = entry_type, "/etc/passwd"
    archive = tar(tree, entry)
    monkeypatch.setitem(SHA256, "mvtec_anomaly_detection.tar.xz", hashlib.sha256(archive).hexdigest())
    server.repo("datasets", DOWNLOADABLE["mvtec"].sources[2], {"mvtec_anomaly_detection.tar.xz": archive})
    assert expected in sentence("mvtec", "bottle")


# BTAD, VisA, and whatever else lies on the Hub ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folders", "parquet", "zip", "local folder"])
def test_btad(
    form: str, server: Hub, tree: Tree, original: data.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = btad(tree) | btad(tree, "02")
    if form == "folders":
        server.repo("datasets", "some/btad", {f"BTech_Dataset_transformed/{path}": files[path] for path in files})
    elif form == "parquet":
        row = lambda path, defect, image, mask: {
            "image": {"bytes": image, "path": path.rsplit("/", 1)[1]}, "label": "ok" if defect == "good" else "ko",
            "mask": {"bytes": mask, "path": None} if mask else None,
        }  # fmt: skip
        server.repo(
            "datasets", "some/btad", {f"01/{split}-0.parquet": table(tree, split, row) for split in ("train", "test")}
        )
    elif form == "local folder":
        laid(tmp_path / "BTech_Dataset_transformed", files)
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for path, content in files.items():
                file.writestr(f"BTech_Dataset_transformed/{path}", content)
        server.plain["/plain/btad.zip"] = out.getvalue()
        address = DownloadableSet(
            DOWNLOADABLE["btad"].licence, (f"{server.url}/plain/btad.zip",), DOWNLOADABLE["btad"].counts
        )
        monkeypatch.setitem(DOWNLOADABLE, "btad", address)
        assert "do not have the expected hash" in sentence("btad", "01")
        monkeypatch.setitem(SHA256, "btad.zip", hashlib.sha256(out.getvalue()).hexdigest())
        server.cut("btad.zip", 50_000)
    named = {
        "folders": "some/btad",
        "parquet": "some/btad",
        "local folder": str(tmp_path / "BTech_Dataset_transformed"),
    }
    if form in named:
        monkeypatch.setenv("LAB_BTAD_REPO", named[form])
    pulled_sets.pull("btad", "01")
    dataset = data.load("btad", "01")
    assert shown(dataset, names=False) == shown(original, names=False)
    assert {item.defect for item in dataset.test} == {"good", "ko"}
    assert dataset.licence == DOWNLOADABLE["btad"].licence and dataset.licence.startswith("BTAD")
    if form == "zip":
        assert [r.headers.get("Range") for r in server.requests("GET", "btad.zip")][-2:] == [None, "bytes=50000-"]
        assert not any("Authorization" in request.headers for request in server.log)


def test_visa(server: Hub, tree: Tree, original: data.Dataset) -> None:
    server.repo("datasets", "BrachioLab/visa", tables(tree, "pcb1", visa_row), card={"license": "apache-2.0"})
    pulled_sets.pull("visa", "pcb1")
    dataset = data.load("visa", "pcb1")
    assert shown(dataset, names=False) == shown(original, names=False)
    assert {item.defect for item in dataset.test} == {"good", "anomaly"}
    assert (
        dataset.licence == DOWNLOADABLE["visa"].licence and "CC BY 4.0" in dataset.licence
    )  # not what a mirror's card says


def test_any_image_folder(server: Hub, tree: Tree, original: data.Dataset) -> None:
    normal = {path.replace("/good/", "/Normal/"): content for path, content in tree.items()}
    more = {"validation/Normal/1.png": b"unread", "train/scratch/1.png": b"unread", "train/Normal/.hidden.png": b""}
    server.repo("datasets", "some/washers", normal | more, card={"license": "cc-by-nc-sa-4.0"})
    folder = pulled_sets.pull("some/washers")
    assert folder == pulled_sets.folder() / "some--washers" / "washers"
    dataset = data.load("some/washers")
    assert shown(dataset) == shown(original) and (dataset.name, dataset.category) == ("some/washers", "washers")
    assert dataset.licence == "some/washers: CC BY-NC-SA 4.0" and "some/washers" in data.sets()
    assert pulled_sets.pull("some/washers") == folder


def test_any_parquet(server: Hub, tree: Tree) -> None:
    """One table without a test split, labels by name: what is good is learned from, and split as any such folder."""
    everything = {path.replace("test/", "train/"): content for path, content in tree.items()}
    everything = {path.replace("good/0", "good/t0", path.startswith("train/good")): c for path, c in everything.items()}
    everything |= {f"train/good/u{n}.png": tree[f"test/good/00{n}.png"] for n in range(GOOD)}
    row = lambda path, defect, image, mask: {
        "image": {"bytes": image, "path": path.rsplit("/", 1)[1]}, "label": "normal" if defect == "good" else "defect",
    }  # fmt: skip
    server.repo("datasets", "some/parts", {"data/train-00000-of-00001.parquet": table(everything, "train", row)})
    pulled_sets.pull("some/parts")
    dataset = data.load("some/parts")
    bad = [item for item in dataset.test if item.bad]
    good = len(dataset.train) + len(dataset.test) - len(bad)
    assert len(bad) == BAD and good == sum(path.startswith("train/good") for path in everything)
    assert "states no licence" in dataset.licence


def test_one_table_for_several_categories(server: Hub, tree: Tree, original: data.Dataset) -> None:
    nut = lambda *values: mvtec_row(*values) | {"object": "nut"}
    both = {f"data/{split}.parquet": table(tree, split, mvtec_row, nut) for split in ("train", "test")}
    server.repo("datasets", "some/mvtec", both)
    assert "it has bottle, nut" in sentence("some/mvtec")
    pulled_sets.pull("some/mvtec", "nut")
    assert data.categories("some/mvtec") == ["nut"] and shown(data.load("some/mvtec")) == shown(original)


def test_sets_of_both_kinds_are_one(server: Hub, tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A category of LAB_DATA and a pulled one of the same set stand side by side; what is not at hand says how."""
    serve(server, "folders", tree, monkeypatch)
    with pytest.raises(LabError, match="mvtec: neither a folder.*python -m lab pull mvtec --category bottle"):
        data.load("mvtec", "bottle")
    laid(tmp_path / "own" / "mvtec" / "screw", tree)
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "own"))
    with pytest.raises(LabError, match="has no category bottle; it has screw; fetch it with: python -m lab pull mvtec"):
        data.load("mvtec", "bottle")
    pulled_sets.pull("mvtec", "bottle")
    assert data.categories("mvtec") == ["bottle", "screw"]
    assert data.load("mvtec", "bottle").name == data.load("mvtec", "screw").name == "mvtec"


# The command line --------------------------------------------------------------------------------------------------


def test_the_command_says_licence_and_size_first(
    server: Hub, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    server.repo(
        "datasets", DOWNLOADABLE["mvtec"].sources[1], {f"bottle/{path}": content for path, content in tree.items()}
    )
    arguments = ["pull", "mvtec", "--category", "bottle", "--to", str(tmp_path / "mine")]
    assert main(arguments) == 0
    passed, licence, size, done, use = capsys.readouterr().out.splitlines()
    assert passed.startswith("not used: TheoM55/") and licence == DOWNLOADABLE["mvtec"].licence
    total = downloads.megabytes(sum(map(len, tree.values())))
    assert size.endswith(f": {len(tree)} files, {total} to download")
    folder = tmp_path / "mine" / "mvtec" / "bottle"
    assert done.startswith(f"{folder}: 6 good training images, 5 test images") and licence in done
    assert use == f"available as --data {folder}"
    assert main(arguments) == 0 and len(capsys.readouterr().out.splitlines()) == 2
    assert main(["pull", "mvtec", "bottle"]) == 2 and "--category" in capsys.readouterr().err


def test_a_detector_keeps_the_licence_of_what_was_pulled(
    server: Hub, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    server.repo("datasets", DOWNLOADABLE["mvtec"].sources[0], tables(tree, "bottle", mvtec_row))
    assert main(["pull", "mvtec", "--category", "bottle"]) == 0
    assert capsys.readouterr().out.endswith("available as --data mvtec --category bottle\n")
    file = tmp_path / "det.safetensors"
    fit = ["fit", "--method", "patchcore", "--data", "mvtec", "--category", "bottle", "--size", "64", "-o", str(file)]
    assert main([*fit, "--candidates", "300"]) == 0
    with safetensors.safe_open(file, "pt") as stored:
        metadata = json.dumps(stored.metadata())
    assert DOWNLOADABLE["mvtec"].licence in metadata


# Weights -----------------------------------------------------------------------------------------------------------

TAG = "resnet18.tv_in1k"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights but those that were pulled."""
    monkeypatch.setattr(features, "weights_folders", lambda: [])
    monkeypatch.delenv("LAB_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_backbone_is_pulled_once(
    nowhere: None, server: Hub, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = safetensors.torch.save({"conv1.weight": torch.rand(64, 3, 7, 7)})
    card = {"license": "bsd-3-clause"}
    server.repo("models", f"timm/{TAG}", {"model.safetensors": weights, "config.json": b"{}"}, card=card)
    assert features.local_weights(TAG) is None and pretrained_weights.offer(TAG).size == len(weights)
    server.cut("model.safetensors", len(weights) // 2)
    assert main(["pull", "backbone", TAG]) == 0
    size, done = capsys.readouterr().out.splitlines()
    assert size == f"{TAG}, licence bsd-3-clause: {downloads.megabytes(len(weights))} to download"
    assert f"--backbone {TAG}" in done
    assert f"bytes={len(weights) // 2}-" in [request.headers.get("Range") for request in server.log]
    requests = len(server.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["pull", "backbone", TAG]) == 0 and len(server.log) == requests
    path = features.local_weights(TAG)
    assert path and path.read_bytes() == weights and path.parent == pretrained_weights.download_folder()
    assert features.find_weights(TAG) == path


def test_another_backbone_is_never_taken(nowhere: None, server: Hub, capsys: pytest.CaptureFixture) -> None:
    server.repo("models", "timm/resnet18.a1_in1k", {"model.safetensors": b"other"})
    server.repo("models", "timm/resnet34.tv_in1k", {"pytorch_model.bin": b"pickle"})
    for tag, expected in {TAG: "no such repository", "resnet34.tv_in1k": "holds no model.safetensors"}.items():
        assert main(["pull", "backbone", tag]) == 2 and expected in capsys.readouterr().err
        with pytest.raises(LabError, match=f"backbone {tag} is not at hand.*{expected}.*LAB_WEIGHTS"):
            features.find_weights(tag)
    assert main(["pull", "backbone"]) == 2 and TAG in capsys.readouterr().err
    assert not files_in(pretrained_weights.download_folder())


def test_a_transformer_gives_a_pyramid(nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's file of DINOv2 fits, and every level has the size that its stride promises."""
    import timm

    tag = next(tag for tag in features.BACKBONES if "dinov2" in tag)
    torch.manual_seed(0)
    stored = timm.create_model(tag, pretrained=False).state_dict()
    safetensors.torch.save_file(stored, tmp_path / f"{tag}.safetensors")
    monkeypatch.setenv("LAB_WEIGHTS", str(tmp_path))
    network = features.Backbone(tag)
    assert torch.equal(network.network.state_dict()["network.model.pos_embed"], stored["pos_embed"])
    assert network.channels == (384, 384, 384)
    image = torch.rand(1, 3, 64, 64)
    changed = image.clone()
    changed[..., :14, :14] = 0
    with torch.no_grad():
        maps, others = network(image), network(changed)
    assert [tuple(level.shape) for level in maps] == [(1, 384, 16, 16), (1, 384, 8, 8), (1, 384, 4, 4)]
    moved = (maps[0] - others[0]).abs().sum(1)[0]
    assert moved[:3, :3].mean() > 3 * moved[8:, 8:].mean()  # the tokens lie where the image was changed


# Real images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["rows with images", "folders", "archive"])
def test_real_images_come_through_unchanged(
    form: str, real_data: Path, server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = real_data / "mvtec" / "bottle"
    if not source.is_dir():
        pytest.skip("no mvtec/bottle in the folder that LAB_DATA names")
    chosen = sorted((source / "train/good").iterdir())[:TRAIN] + sorted((source / "test/good").iterdir())[:GOOD]
    chosen += sorted((source / "test/broken_large").iterdir())[:BAD]
    few = {path.relative_to(source).as_posix(): path.read_bytes() for path in chosen}
    for path in [path for path in few if "broken" in path]:
        mask = f"ground_truth/{path[5:-4]}_mask.png"
        few[mask] = (source / mask).read_bytes()
    serve(server, form, few, monkeypatch)
    folder = pulled_sets.pull("mvtec", "bottle")
    assert all((folder / path).read_bytes() == content for path, content in few.items())
    assert shown(data.load("mvtec", "bottle")) == shown(data.load(str(laid(tmp_path / "few", few))))


def test_official_counts() -> None:
    """Those of the papers: 3,629 + 1,725 images of MVTec AD, 1,799 + 741 of BTAD, 10,821 of VisA."""
    totals = {name: tuple(map(sum, zip(*known.counts.values()))) for name, known in DOWNLOADABLE.items()}
    assert totals["mvtec"] == (3629, 467, 1258) and len(DOWNLOADABLE["mvtec"].counts) == 15
    assert totals["btad"] == (1799, 451, 290)
    assert sum(totals["visa"]) == 10_821 and totals["visa"][2] == 1200
