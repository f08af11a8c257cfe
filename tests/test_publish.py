"""Detectors on the Hub: pushed to a server on loopback through the real client, loaded back, refused where need be."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import huggingface_hub.constants as client
import numpy as np
import pytest
import yaml
from hub_server import Hub

from lab import Detector, LabError, metrics
from lab.__main__ import main
from lab.hub import publishing
from lab.hub.detector_card import write_card
from lab.parts import features

WRITES, READS = "hf_writes", "hf_reads"  # tokens the server knows
MVTEC = dict(dataset="mvtec", category="metal_nut", licence="MVTec AD: CC BY-NC-SA 4.0 (Bergmann et al. 2019)")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub of its own for each test, where this machine may write."""
    with Hub() as hub:
        hub.tokens, hub.readers = {WRITES, READS}, {READS}
        monkeypatch.setattr(client, "ENDPOINT", hub.url)
        monkeypatch.setattr(client, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(client, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(client, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(client, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(client, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        monkeypatch.setenv("HF_TOKEN", WRITES)
        yield hub


def files(hub: Hub, name: str) -> dict[str, bytes]:
    return hub.repos["models", name].files


@pytest.fixture(scope="module")
def file(good: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    detector = Detector("patchcore", size=96, candidates=600).fit(good)
    detector.origin = MVTEC
    return detector.save(tmp_path_factory.mktemp("made") / "nut.safetensors")


def row(detector: Detector) -> dict[str, Any]:
    """A row as the bench writes it, of figures chosen here."""
    values = dict(
        method=detector.id,
        settings=detector.settings.as_dict(),
        weights=features.backbone_weights(detector.settings),
        seed=0,
    )
    values |= dict(dataset="mvtec", category="metal_nut", train=12, train_limit=None, folds=None, eval_size=96)
    values |= dict(good=22, bad=93, image_auroc=0.9, missed=9, false_alarms=1, version="0.1.0", pixel_auroc=0.87)
    return values | dict(pixel_ap=0.5, aupro=0.75, margin=1.25, overlap=None)


def split(card: str) -> tuple[dict[str, Any], str]:
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), text


def sentence(caught: pytest.ExceptionInfo) -> str:
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_is_pushed_comes_back_the_same(hub, file, bad, capsys):
    assert main(["push", str(file), "anna/nut"]) == 0
    assert capsys.readouterr().out == f"{client.ENDPOINT}/anna/nut\n"
    assert set(files(hub, "anna/nut")) == {".gitattributes", "README.md", "detector.safetensors"}
    assert files(hub, "anna/nut")["detector.safetensors"] == file.read_bytes()
    assert not hub.repos["models", "anna/nut"].private
    here, there = Detector.load(file), Detector.from_hub("anna/nut")
    first, second = here.detect(bad), there.detect(bad)
    assert (
        first.score == second.score
        and np.array_equal(first.anomaly_map, second.anomaly_map)
        and first.verdict == second.verdict == "bad"
    )
    assert there.calibration == here.calibration and there.origin == MVTEC
    publishing.push(file, "anna/nut")  # a second time: the same repository
    assert list(hub.repos) == [("models", "anna/nut")]


def test_the_commit_that_was_loaded_is_recorded(hub, file, tmp_path):
    publishing.push(file, "anna/nut")
    commit = hub.repos["models", "anna/nut"].sha
    for revision in ("main", commit):
        detector = Detector.from_hub("anna/nut", revision)
        assert detector.repository == f"anna/nut@{commit}"
    kept = Detector.load(detector.save(tmp_path / "kept.safetensors"))
    assert kept.repository == detector.repository and Detector.load(file).repository == ""
    with pytest.raises(LabError, match="anna/nut: "):
        Detector.from_hub("anna/nut", "no-such-branch")


def test_card(hub, file):
    publishing.push(file, "anna/nut")
    head, text = split(files(hub, "anna/nut")["README.md"].decode())
    assert head["license"] == "cc-by-nc-sa-4.0" and head["library_name"] == "annotation-free-anomaly-lab"
    assert head["pipeline_tag"] == "image-segmentation" and {"anomaly-detection", "patchcore"} <= set(head["tags"])
    assert MVTEC["licence"] in text and "no commercial use" in text and "mvtec, metal_nut" in text
    detector = Detector.load(file)
    assert detector.calibration and detector.calibration.statement() in text
    assert (
        "bad above | " in text and "promised false alarms 7.7 % on average, at most 22.1 % with 95 % confidence" in text
    )  # 12 images: 1/13
    assert "1/(12+1) = 7.7%" in text and "12 (each left out in turn)" in text
    assert detector.method.paper in text and detector.weights()["sha256"] in text and detector.fingerprint in text
    for name, field in detector.settings.fields().items():
        assert f"| `{name}` | {getattr(detector.settings, name)} | " in text, field
    assert "No figures came with this detector" in text
    (use,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert use.count("\n") == 4 and 'Detector.from_hub("anna/nut")' in use
    compile(use, "card", "exec")


def test_card_tells_the_figures_of_the_bench_with_intervals(hub, file, tmp_path, capsys):
    detector = Detector.load(file)
    own = row(detector)
    others = [own | dict(seed=1), own | dict(train_limit=6), own | dict(category="screw"), own | dict(method="padim")]
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/rows.json").write_text(json.dumps([o | dict(image_auroc=0.1) for o in others] + [own]))
    assert main(["push", str(file), "anna/nut", "--bench", str(tmp_path / "bench")]) == 0
    text = files(hub, "anna/nut")["README.md"].decode()
    low, high = metrics.auroc_interval([1] * 10 + [0] * 10, [1] * 9 + [0] + [0.5] * 10)  # an AUROC of 0.9 as well
    assert metrics.newcombe(0.9, 10, 10) == (low, high)
    low, high = metrics.newcombe(0.9, 93, 22)
    assert f"| image AUROC | 0.900 | {low:.3f} to {high:.3f} |" in text
    assert "| missed, 9 of 93 | 0.097 | 0.045 to 0.176 |" in text  # Clopper-Pearson
    assert "| false alarms, 1 of 22 | 0.045 | 0.001 to 0.228 |" in text
    assert "| pixel AUROC | 0.870 | - |" in text and "overlap |" not in text and "22 good and 93 bad" in text
    (tmp_path / "bench/rows.json").write_text(json.dumps(others))
    assert main(["push", str(file), "anna/other", "--bench", str(tmp_path / "bench")]) == 2
    assert (
        "has no row of patchcore with these settings" in capsys.readouterr().err
        and ("models", "anna/other") not in hub.repos
    )


@pytest.mark.parametrize(
    ("licence", "tag"),
    [
        ("screws: CC BY 4.0 (says its LICENSE)", "cc-by-4.0"),
        ("screws: cc-by-nc-nd-4.0 (says its README.md)", "cc-by-nc-nd-4.0"),
        ("CC0 1.0: drawn by this project's own code", "cc0-1.0"),
        ("MTD: free for research, cite Huang et al. 2020", "other"),
        ("x: unknown; if this is MVTec's bottle, it is CC BY-NC-SA 4.0 (Bergmann et al.)", "cc-by-nc-sa-4.0"),
        ("", "other"),
    ],
)
def test_the_head_of_the_card_has_the_licence_of_the_images(file, licence, tag):
    detector = Detector.load(file)
    detector.origin = MVTEC | dict(licence=licence)
    head, text = split(write_card(detector, "anna/nut"))
    assert head["license"] == tag and (tag != "other" or head["license_name"] == "terms-of-the-images")
    assert f"Licence of the images: {licence or 'not stated'}" in text
    assert ("no commercial use" in text) == ("nc" in tag.split("-"))
    assert ("no changed versions" in text) == ("nd" in tag.split("-"))


def test_a_card_stands_whatever_the_names_hold(file):
    detector = Detector.load(file)
    detector.origin = dict(dataset="a\n---\nlicense: mit", category="<img src=x> | `b`", licence="own\n# Free")
    head, text = split(write_card(detector, "anna/nut"))
    assert head["license"] == "other" and "\n# Free" not in text and "\\<img src=x\\> \\| \\`b\\`" in text
    detector.origin = {}
    head, text = split(write_card(detector, "anna/nut"))
    assert head["license"] == "other" and "its maker's own images" in text and "not stated" in text


def test_private_stays_private(hub, file, monkeypatch):
    publishing.push(file, "anna/nut", private=True)
    assert hub.repos["models", "anna/nut"].private
    publishing.push(file, "anna/open")
    before = dict(files(hub, "anna/open"))
    with pytest.raises(LabError, match="anna/open is there already and public"):
        publishing.push(file, "anna/open", private=True)
    assert files(hub, "anna/open") == before
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(LabError, match="anna/nut: no such repository at the Hub, or a private one"):
        Detector.from_hub("anna/nut")


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


@pytest.mark.parametrize("protocol", [2, 4, "zip", "text"])
def test_a_pickle_is_refused_and_never_opened(hub, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    content = b"PK\3\4" + bytes(60) if protocol == "zip" else b"no detector" * 9
    if isinstance(protocol, int):
        content = pickle.dumps(Trap(), protocol)
    hub.repo("models", "eve/trap", {"detector.safetensors": content})
    with pytest.raises(LabError) as caught:
        Detector.from_hub("eve/trap")
    expected = (
        "is not a detector's file" if protocol == "text" else "is a pickle, which runs code when it is opened, and"
    )
    assert f"eve/trap/detector.safetensors {expected}" in sentence(caught) and not (tmp_path / "trapped").exists()
    (tmp_path / "own.safetensors").write_bytes(content)
    with pytest.raises(LabError, match="is a pickle|not a detector's file"):
        publishing.push("own.safetensors", "eve/more")
    assert list(hub.repos) == [("models", "eve/trap")] and not (tmp_path / "trapped").exists()


def test_a_cut_off_file_is_not_called_a_pickle(file, tmp_path):
    header = b'{"__metadata__":{"a":"' + b"x" * 614 + b'"}}  '
    cut = tmp_path / "cut.safetensors"
    for low in (b"\x80\2", len(header).to_bytes(2, "little")):
        cut.write_bytes((low + bytes(6) + header)[:300])
        with pytest.raises(LabError, match="not a detector's file, or it is cut off"):
            Detector.load(cut)


def test_what_goes_wrong_is_one_sentence(hub, file, monkeypatch, tmp_path):
    hub.repo("models", "eve/gated", {"detector.safetensors": b"x"}, gated=True)
    hub.repo("models", "eve/other", {"README.md": b"", "model.pt": b""})
    hub.repo("models", "eve/empty", {})
    wrong = {
        "eve/gated": "eve/gated: is gated; ask for access",
        "eve/gone": "eve/gone: no such repository",
        "eve/other": "holds no detector.safetensors, as `python -m lab push` leaves it: model.pt is a pickle",
        "eve/empty": "holds no detector.safetensors, as `python -m lab push` leaves it",
        "nut": "'nut' names no repository: it must be user/name",
        "https://hub/eve/nut": "names no repository",
        "eve/..": "eve/..: no name for a repository",
    }
    for repository, expected in wrong.items():
        with pytest.raises(LabError) as caught:
            Detector.from_hub(repository)
        assert expected in sentence(caught), repository
    for token in (READS, "hf_old"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(LabError) as caught:
            publishing.push(file, "anna/new")
        assert "anna/new: access was refused; log in" in sentence(caught)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(LabError, match="no token of the Hub is at hand: log in with `hf auth login`, or set HF_TOKEN"):
        publishing.push(file, "anna/new")
    assert ("models", "anna/new") not in hub.repos


def test_an_upload_that_fails_leaves_no_half_of_it(hub, file, monkeypatch):
    full = ("PUT", re.compile("/lfs/.*"), lambda call: call.send(507))
    monkeypatch.setattr(hub_server, "ROUTES", [full, *hub_server.ROUTES])
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(LabError, match="anna/nut: its server answered 507"):
        publishing.push(file, "anna/nut")
    assert set(files(hub, "anna/nut")) == {".gitattributes"}


def test_without_the_hub(hub, file, bad, monkeypatch):
    publishing.push(file, "anna/nut")
    score = Detector.from_hub("anna/nut").detect(bad).score
    monkeypatch.setattr(client, "HF_HUB_OFFLINE", True)
    assert Detector.from_hub("anna/nut").detect(bad).score == score  # it was downloaded before
    with pytest.raises(LabError, match="anna/bolt: .*HF_HUB_OFFLINE keeps this machine off the net"):
        Detector.from_hub("anna/bolt")
    monkeypatch.setattr(client, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again and again, ever later
    closed = "http://127.0.0.1:9"
    monkeypatch.setattr(client, "ENDPOINT", closed)
    monkeypatch.setattr(client, "HUGGINGFACE_CO_URL_TEMPLATE", closed + "/{repo_id}/resolve/{revision}/{filename}")
    for act in (lambda: Detector.from_hub("anna/bolt"), lambda: publishing.push(file, "anna/bolt")):
        with pytest.raises(LabError, match="anna/bolt: its server cannot be reached"):
            act()
