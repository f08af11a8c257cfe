"""Ablations: deltas and marks by hand, the papers' numbers, and real runs that stop, continue and share a fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, stripes
from pytest import approx

from lab import METHODS, Detector, LabError, image_files
from lab.__main__ import main
from lab.bench import ablation, paper_comparison, studies_readme, study_files
from lab.bench.measurement import evenly_spaced, repeatable_command
from lab.bench.rows import IDENTITY
from lab.method import Method
from lab.papers import paper_tables

UP = paper_tables.Claim(0.98, 0.97, 1, "Table I")


def row(component: str, seed: int, category: str = "bottle", **figures: float | None) -> dict[str, Any]:
    settings = METHODS["cdo"].presets()["live"].as_dict() | ({"mom": False} if component == "mom off" else {})
    return dict(
        dataset="mvtec", category=category, method="cdo", component=component, base="abc", seed=seed, train=9,
        train_limit=None, eval_size=256, settings=settings, weights=dict(tag="embedded", sha256="e" * 64),
        version="1", command="python -m lab bench", date="2026-11-23",
        machine=dict(cpu="C", cores=2, threads=1, torch="2"), **(dict.fromkeys(study_files.FIGURES) | figures),
    )  # fmt: skip


def compare_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], paper_comparison.Comparison]:
    (study,) = study_files.gather_studies(rows)
    again = json.loads(json.dumps(study))  # nothing is lost on the way to the committed file
    assert paper_comparison.compare(again) == paper_comparison.compare(study)
    return {(d.place, d.component, d.figure): d for d in paper_comparison.compare(study)}


@pytest.mark.parametrize(
    ("deltas", "claim", "expected"),
    [
        ([0.04, 0.05, 0.06], UP, "agrees"),  # t s / sqrt(n) = 2.920 x 0.01 / 1.732 = 0.0169 < 0.05
        ([-0.04, -0.05, -0.06], UP, "disagrees"),
        ([0.04, 0.05, 0.06], UP._replace(sign=-1), "disagrees"),
        ([0.01, 0.02, 0.06], UP, "within noise"),  # 2.920 x 0.02646 / 1.732 = 0.0446 > 0.03
        ([0.0165, 0.0265, 0.0365, 0.0465], UP, "agrees"),  # 2.353 x 0.01291 / 2 = 0.0152 < 0.0315
        ([0.0, 0.0, 0.0], UP, "within noise"),
        ([0.02, 0.02, 0.02], UP, "agrees"),
        ([0.5], UP, "one seed"),
        ([0.04, 0.05, 0.06], UP._replace(sign=0), "no change in the paper"),
        ([0.04, 0.05, 0.06], None, "not in the paper"),
    ],
)
def test_mark(deltas: list[float], claim: paper_tables.Claim | None, expected: str) -> None:
    assert paper_comparison.mark(deltas, claim) == expected


def test_deltas_are_paired_by_seed() -> None:
    full, off = {0: 0.90, 1: 0.94, 2: 0.98}, {0: 0.88, 1: 0.90, 2: 0.92}
    rows = [row("full", s, pixel_auroc=v, margin=1.0) for s, v in full.items()]
    rows += [row("mom off", s, pixel_auroc=v, margin=None if s == 1 else 3.0) for s, v in off.items()]
    rows.append(row("mom off", 7, pixel_auroc=0.1))  # has no partner
    comparisons = compare_rows(rows)
    auroc = comparisons["mvtec/bottle", "mom off", "pixel_auroc"]
    assert (auroc.mean, auroc.sd, auroc.seeds) == (approx(0.04), approx(0.02), 3)  # deltas 0.02, 0.04, 0.06
    assert auroc.mark == "agrees" and auroc.claim and auroc.claim.delta == approx(0.9825 - 0.9788)  # 0.04 > 0.0337
    margin = comparisons["mvtec/bottle", "mom off", "margin"]
    assert (margin.mean, margin.seeds, margin.mark) == (-2.0, 2, "disagrees")  # the paper has it larger
    assert ("mvtec/bottle", "mom off", "aupro") not in comparisons  # defined nowhere


def test_a_set_of_several_categories_has_a_mean() -> None:
    rows = []
    for category, shift in (("bottle", 0.02), ("cable", -0.04)):
        for seed in (0, 1):
            rows += [row("full", seed, category, aupro=0.8), row("oom off", seed, category, aupro=0.8 - shift)]
    rows.append(row("full", 2, "bottle", aupro=0.8))
    rows.append(row("oom off", 2, "bottle", aupro=0.2))  # a seed that the other category has not
    comparisons = compare_rows(rows)
    assert comparisons["mvtec, mean of 2", "oom off", "aupro"].mean == approx(-0.01)
    assert comparisons["mvtec, mean of 2", "oom off", "aupro"].seeds == 2
    assert comparisons["mvtec/cable", "oom off", "aupro"].mark == "disagrees"


def test_one_component_alone_is_set_against_none() -> None:
    # MOM alone is OOM off: 0.87 - 0.80 and 0.88 - 0.82, 0.065 on the mean; the paper's 0.9794 - 0.9694
    values = {"full": (0.90, 0.91), "mom off": (0.79, 0.82), "oom off": (0.87, 0.88), "mom off, oom off": (0.80, 0.82)}
    rows = [row(name, s, pixel_auroc=v[s], margin=1.0) for name, v in values.items() for s in (0, 1)]
    (study,) = study_files.gather_studies(rows)
    comparisons = {(d.component, d.figure): d for d in paper_comparison.compare_alone(study)}
    assert list(comparisons) == [
        ("mom alone", "pixel_auroc"),
        ("oom alone", "pixel_auroc"),
    ]  # no figure printed of the margin
    mom, oom = comparisons.values()
    assert mom.mean == approx(0.065) and mom.mark == "agrees" and mom.seeds == 2 and mom.place == "mvtec/bottle"
    assert mom.claim and mom.claim.delta == approx(0.9794 - 0.9694)
    assert oom.mean == approx(-0.005) and oom.mark == "within noise"
    assert not paper_comparison.compare_alone(study_files.gather_studies(rows[:6])[0])  # both off is missing
    written = studies_readme.render([study])
    assert "| CDO | mom alone, over none | pixel_auroc | larger | 1 |  |  |  |" in written
    assert "| mvtec/bottle | mom alone | pixel_auroc | +0.0100 | +0.0650 ± 0.0071 | 2 | agrees | Table IV," in written


def test_other_settings_are_another_study() -> None:
    rows = [row("full", 0, aupro=0.8), row("full", 0, aupro=0.7) | dict(base="def"), {"method": "cdo"}]
    assert len(study_files.gather_studies([*rows, row("full", 0, aupro=0.7) | dict(train_limit=9)])) == 3


LIVE = {name: method.presets()["live"].as_dict() for name, method in METHODS.items()}
WIDE = {"backbone": "wide_resnet50_2.tv_in1k"}


@pytest.mark.parametrize(
    ("method", "component", "figure", "where", "full", "off"),
    [
        ("cdo", "mom off, oom off", "pixel_auroc", {}, 0.9825, 0.9694),
        ("cdo", "oom off", "aupro", {}, 0.9475, 0.9366),
        ("smcc", "l_c off, l_o off", "image_auroc", {}, 0.972, 0.955),
        ("smcc", "l_o off", "image_auroc", {"base": LIVE["smcc"] | WIDE}, 0.985, 0.983),
        ("rb_ae", "segmenter=ssim", "pixel_auroc", {}, 0.9764, 0.8645),
        ("rb_ae", "pixel_dis off", "image_auroc", {}, 0.9982, 0.9877),
        ("local_occ", "center=vector", "pixel_auroc", {}, 0.980, 0.961),
        ("local_occ", "center=vector", "pixel_auroc", {"dataset": "mvtec", "category": "metal_nut"}, 0.976, 0.968),
        ("local_occ", "center=vector", "pixel_auroc", {"dataset": "other", "category": "metal_nut"}, 0.980, 0.961),
        ("local_occ", "center=vector", "pixel_auroc", {"dataset": "mvtec-rto45", "category": "cable"}, 0.975, 0.945),
        ("local_occ", "imm off", "pixel_auroc", {"dataset": "any-rto10"}, 0.979, 0.964),
        ("local_occ", "imm off, dgm off, augment on", "pixel_auroc", {"dataset": "any-rto180"}, 0.979, 0.872),
        ("local_occ", "imm off, dgm off", "pixel_ap", {}, 0.680, 0.078),
    ],
)
def test_the_papers_numbers(
    method: str, component: str, figure: str, where: dict[str, Any], full: float, off: float
) -> None:
    claim = paper_tables.claim(method, component, figure, **{"base": LIVE[method]} | where)
    assert claim and (claim.full, claim.off, claim.sign) == (approx(full), approx(off), 1)


def test_what_the_papers_do_not_say() -> None:
    for method, component, figure in [
        ("rb_ae", "rbam off", "aupro"), ("smcc", "l_c off", "image_auroc"), ("local_occ", "augment on", "pixel_auroc"),
        ("padim", "x", "aupro"), ("cdo", "mom off", "overlap"),
    ]:  # fmt: skip
        assert paper_tables.claim(method, component, figure, base=LIVE.get(method, {})) is None
    assert (
        paper_tables.claim("cdo", "oom off", "aupro", base=LIVE["cdo"] | {"mom": False}) is None
    )  # not the paper's full
    equal, statement = (
        paper_tables.claim("smcc", "l_o off", "pixel_auroc", base=LIVE["smcc"]),
        paper_tables.claim("cdo", "oom off", "overlap", base=LIVE["cdo"]),
    )
    assert equal and equal.sign == 0 and statement and statement.sign == -1 and statement.delta is None


@pytest.mark.parametrize("method", paper_tables.load_tables()["ablations"])
def test_every_setting_of_a_papers_table_is_measured(method: str) -> None:
    table = paper_tables.load_tables()["ablations"][method]
    plan = ablation.plan(method, METHODS[method].presets()["live"])
    assert next(iter(plan)) == "full"
    for source in table["sources"]:
        for component in source.get("rows", source["columns"]):
            assert component in plan
    assert len({json.dumps(settings.as_dict()) for settings in plan.values()}) == len(plan)


def test_plan() -> None:
    base = METHODS["local_occ"].presets()["live"]
    plan = ablation.plan("local_occ", base)
    assert list(plan) == [
        "full", "imm off", "dgm off", "augment on", "center=vector", "imm off, augment on", "imm off, dgm off",
        "imm off, dgm off, augment on",
    ]  # fmt: skip
    assert plan["imm off, dgm off, augment on"] == base.replace(imm=False, dgm=False, augment=True)
    assert "mom off, oom off" not in ablation.plan("cdo", METHODS["cdo"].presets()["live"].replace(mom=False))
    assert list(ablation.plan("local_occ", base, ["imm", "dgm"])) == ["full", "imm off", "dgm off", "imm off, dgm off"]
    assert len(ablation.plan("rb_ae", METHODS["rb_ae"].presets()["live"], ["segmenter"])) == 4
    with pytest.raises(LabError, match="no component size, x; it has augment, center, dgm, imm"):
        ablation.plan("local_occ", base, ["x", "imm", "size"])
    with pytest.raises(LabError, match="padim has no component"):
        ablation.plan("padim", METHODS["padim"].presets()["live"])


def test_even_choice() -> None:
    assert evenly_spaced(5, None, 0) == evenly_spaced(5, 9, 3) == [0, 1, 2, 3, 4]
    for seed in range(5):
        chosen = evenly_spaced(100, 10, seed)
        assert chosen == evenly_spaced(100, 10, seed) and len(set(chosen)) == 10
        assert set(np.diff(chosen)) == {10} and 0 <= chosen[0] < 10
    assert len({evenly_spaced(100, 10, seed)[0] for seed in range(9)}) > 3
    assert len(set(evenly_spaced(60, 59, 1))) == 59


def test_the_command_holds_no_paths() -> None:
    arguments = ["bench", "--data", "/home/me/sets/mvtec", "--output", "/tmp/me", "--seeds", "0,1"]
    assert repeatable_command(arguments, arguments[2], arguments[4]) == "python -m lab bench --data mvtec --seeds 0,1"
    arguments = ["bench", "--data=sets/mvtec/", "--output=me"]
    assert repeatable_command(arguments, "sets/mvtec/", "me") == "python -m lab bench --data=mvtec"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training images of a striped surface, two good and two bad test images with masks."""
    root = tmp_path_factory.mktemp("sets") / "secret" / "stripes"
    for folder in ("train/good", "test/good", "test/blot", "ground_truth/blot"):
        (root / folder).mkdir(parents=True)
    for i in range(8):
        image_files.write_png(root / f"train/good/{i}.png", stripes(i))
    for i in (50, 51):
        good, bad = stripes(i), stripes(i, defect=True)
        image_files.write_png(root / f"test/good/{i}.png", good)
        image_files.write_png(root / f"test/blot/{i}.png", bad)
        changed = np.abs(bad.astype(int) - good.astype(int)).max(2) > 40
        image_files.write_png(root / f"ground_truth/blot/{i}_mask.png", changed)
    return root


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Method]:
    """Every method that was fitted, in order."""
    fitted: list[Method] = []
    fit = Method.fit

    def counted(self: Method, *args: Any, **more: Any) -> Method:
        fitted.append(self)
        return fit(self, *args, **more)

    monkeypatch.setattr(Method, "fit", counted)
    return fitted


SMALL = ["--size", "96", "--epochs", "1"]


def test_an_ablation_stops_continues_and_tells(
    data: Path, tmp_path: Path, fits: list[Method], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "--ablate", "cdo", "--data", str(data), *SMALL, "--seeds", "0,1", "--train", "7"]
    score = Detector.raw

    def stop(self: Detector, image: np.ndarray) -> Any:
        if len(fits) == 4:
            raise KeyboardInterrupt
        return score(self, image)

    monkeypatch.setattr(Detector, "raw", stop)
    assert main([*arguments, "--output", str(out)]) == 130
    kept = json.loads((out / "rows.json").read_text())
    assert len(kept) == 3 and not list(out.glob("*.part"))
    monkeypatch.setattr(Detector, "raw", score)
    assert main([*arguments, "--output", str(out)]) == 0
    assert len(fits) == 4 + 5  # eight in all, three were kept
    output = capsys.readouterr().out
    rows = json.loads((out / "rows.json").read_text())
    assert rows[:3] == kept and [r["component"] for r in rows[:4]] == ["full", "mom off", "oom off", "mom off, oom off"]
    for r in rows:
        assert (r["train"], r["train_of"], r["folds"], r["weights"]["tag"]) == (7, 8, 0, "embedded")
        assert r["settings"]["epochs"] == 1 and r["machine"]["torch"] == torch.__version__ and r["machine"]["cpu"]
        assert set(r["machine"]) - {"gpu"} == {"cpu", "cores", "threads", "torch"}
        assert (
            r["command"] == "python -m lab bench --ablate cdo --data stripes --size 96 --epochs 1 --seeds 0,1 --train 7"
        )
        assert len(r["date"]) == 10 and len(r["weights"]["sha256"]) == 64 and "missed" not in r
    assert str(data.parent.parent) not in (out / "rows.json").read_text()
    delta = rows[0]["pixel_auroc"] - rows[3]["pixel_auroc"], rows[4]["pixel_auroc"] - rows[7]["pixel_auroc"]
    (line,) = [x for x in output.splitlines() if "mom off, oom off" in x and "pixel_auroc  full - altered" in x]
    assert f"{np.mean(delta):+.4f} ± {np.std(delta, ddof=1):.4f}" in line and "paper +0.0131" in line
    assert main([*arguments, "--output", str(out)]) == 0 and len(fits) == 9
    assert main([*arguments[:-3], "0", "--train", "8", "--output", str(out)]) == 0
    assert len(fits) == 13 and len(json.loads((out / "rows.json").read_text())) == 12  # other images: other rows
    studies = study_files.read_studies([str(out / "ablation.json")])
    assert [s["train"] for s in studies] == [{"secret/stripes": 7}, {"secret/stripes": 8}]
    written = studies_readme.render(studies)
    assert "| secret/stripes | mom off, oom off | pixel_auroc | +0.0131 |" in written and "one seed" in written
    assert "preset `live`, size 96, epochs 1" in written and studies[0]["weights"]["sha256"] in written


def test_what_changes_only_the_score_shares_a_fit(
    data: Path, tmp_path: Path, fits: list[Method], capsys: pytest.CaptureFixture
) -> None:
    small = ["--data", str(data), "--size", "96", "--epochs-1", "1", "--epochs-2", "1", "--rto", "45"]
    assert main(["bench", "--ablate", "rb_ae", *small, "--output", str(tmp_path)]) == 0
    rows = {r["component"]: r for r in json.loads((tmp_path / "rows.json").read_text())}
    assert len(rows) == 6 and len(fits) == 3
    assert {r["dataset"] for r in rows.values()} == {"secret-rto45"}
    shared = [name for name, r in rows.items() if r["shared_fit"]]
    assert shared == ["segmenter=pixel_gap", "segmenter=msfr", "segmenter=ssim"]
    alone = ["bench", "--methods", "rb_ae", "--segmenter", "ssim", "--folds", "0", *small, "--output", str(tmp_path)]
    assert main(alone) == 0
    last = json.loads((tmp_path / "rows.json").read_text())[-1]
    assert "component" not in last and len(fits) == 4
    for figure in study_files.FIGURES:
        assert last[figure] == rows["segmenter=ssim"][figure]
    assert "one seed" in capsys.readouterr().out


def test_calibrated_rows_share_nothing(data: Path, fits: list[Method]) -> None:
    from lab.bench.measurement import Bench

    live = METHODS["rb_ae"].presets()["live"]
    one, two = (Bench(folds=2).training_key("rb_ae", live.replace(segmenter=s)) for s in ("ssim", "msfr"))
    assert one != two  # a calibration is of the scores
    assert len({Bench(folds=0).training_key("rb_ae", live.replace(segmenter=s)) for s in ("ssim", "msfr")}) == 1


def test_a_turned_set_tells_the_method_how_far(data: Path, tmp_path: Path) -> None:
    arguments = ["bench", "--methods", "local_occ,cdo", "--data", str(data), "--rto", "180", "--folds", "0", *SMALL]
    assert main([*arguments, "--matching-epochs", "1", "--output", str(tmp_path)]) == 0
    settings = [r["settings"] for r in json.loads((tmp_path / "rows.json").read_text())]
    assert settings[0]["rotation"] == 180.0 and "rotation" not in settings[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--ablate", "padim", "--data", "samples"], "padim has no component to switch off"),
        (["--ablate", "cdo"], "--data"),
        (["--data", "samples"], "--methods"),
        (["--ablate", "cdo", "--methods", "cdo", "--data", "samples"], "not allowed with"),
        (["--ablate", "cdo", "--only", "gamma", "--data", "samples"], "cdo has no component gamma; it has mom, oom"),
        (["--methods", "cdo", "--only", "mom", "--data", "samples"], "--ablate is missing"),
        (["--methods", "cdo", "--data", "samples", "--train", "1"], "1 training images are too few"),
        (["--methods", "cdo", "--data", "samples", "--rto", "200"], "0 to 180 degrees"),
        (["--methods", "cdo", "--data", "samples", "--output", "{}"], "rows.json is no list of measured rows"),
        (["--render", "{}/rows.json"], "rows.json is no ablation.json"),
    ],
)
def test_bad_arguments_are_one_sentence(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "rows.json").write_text('{"half":')
    assert main(["bench", *(argument.format(tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and expected in error


def test_a_pipe_is_no_study(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    with pytest.raises(LabError, match=r"pipe is no ablation\.json"):
        study_files.read_studies([str(tmp_path / "pipe")])


def test_the_page_is_the_rendering_of_what_was_measured(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "--render"]) == 0
    assert capsys.readouterr().out == (ROOT / "lab/bench/README.md").read_text(encoding="utf-8")
    assert "Nothing was measured yet" in studies_readme.render([])


def test_the_page_counts_directions() -> None:
    rows = [row("full", s, pixel_auroc=0.9, margin=1.0) for s in (0, 1)]
    rows += [row("mom off", s, pixel_auroc=0.8 + s / 100, margin=1.2) for s in (0, 1)]
    written = studies_readme.render(study_files.gather_studies(rows))
    assert "| CDO | mom off | pixel_auroc | larger | 1 |  |  |  |" in written
    assert "| CDO | mom off | margin | larger |  | 1 |  |  |" in written
    assert "| mvtec/bottle | mom off | pixel_auroc | +0.0037 | +0.0950 ± 0.0071 | 2 | agrees | Table IV," in written
    assert "| mvtec/bottle | full | 2 | - | 0.9000 ± 0.0000 | - | - | 1.0000 ± 0.0000 | - |" in written


# CDO's preset of the authors' later code ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cdo() -> Callable[..., Method]:
    held = torch.stack([torch.from_numpy(stripes(i)).permute(2, 0, 1) for i in range(6)])
    return lambda **changes: METHODS["cdo"](**{"size": 96, "epochs": 2, "batch_size": 3} | changes).fit(held)


def test_repo2025_differs_in_settings_that_act(cdo: Callable[..., Method]) -> None:
    presets = METHODS["cdo"].presets()
    assert list(presets) == ["live", "paper", "repo2025"]
    tested = torch.from_numpy(stripes(100, defect=True)).permute(2, 0, 1)[None].float() / 255
    plain = cdo()
    for change in ({"optimiser": "adam"}, {"lr_drop_at": 0.5}, {"grad_clip": 0.01}):
        other = cdo(**change)
        assert any(not torch.equal(v, other.state()[k]) for k, v in plain.state().items())
    own, top = (METHODS["cdo"](size=96, **change) for change in ({"resize": False}, {"image_score": "top1"}))
    scores = plain.score(tested)
    compared, worst = (other.restore(plain.state()).score(tested) for other in (own, top))
    levels = [v.shape[-1] for name, v in compared.views.items() if name.startswith("hierarchy")]
    assert levels == [24, 12, 6]
    assert not torch.equal(compared.anomaly_map, scores.anomaly_map)
    assert torch.corrcoef(torch.stack([compared.anomaly_map.flatten(), scores.anomaly_map.flatten()]))[0, 1] > 0.9
    assert torch.equal(worst.anomaly_map, scores.anomaly_map)
    highest = np.sort(scores.anomaly_map.numpy().ravel())[::-1]
    assert float(worst.image_score) == approx(highest[:92].mean(), rel=1e-5) and float(worst.image_score) < float(
        scores.image_score
    )


GPU_ROWS = ROOT / "lab/bench/gpu_rows"


@pytest.mark.parametrize("path", sorted(GPU_ROWS.glob("*.json")), ids=lambda path: path.stem)
def test_rows_of_the_gpu_have_todays_settings(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) == {"note", "rows"} and "NVIDIA H200" in content["note"]
    rows = content["rows"]
    assert f"| `{path.name}` | {len(rows)} |" in (GPU_ROWS / "README.md").read_text(encoding="utf-8")
    for measured in rows:
        assert set(IDENTITY) - set(measured) <= {"component", "base"}
        assert METHODS[measured["method"]].Settings(**measured["settings"]).as_dict() == measured["settings"]
        assert measured["machine"]["gpu"] == "NVIDIA H200" and measured["command"].startswith("python -m lab bench ")
        assert all(0 <= measured[figure] <= 1 for figure in ("image_auroc", "pixel_auroc", "pixel_ap", "aupro"))


def test_the_gpu_rows_readme_prints_their_figures() -> None:
    text = (GPU_ROWS / "README.md").read_text(encoding="utf-8")
    rows = json.loads((GPU_ROWS / "h200_2026-11-27b.json").read_text(encoding="utf-8"))["rows"]
    figures = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")
    by_variant = {
        (r["seed"], r["settings"]["epochs_1"], r["component"]): r
        for r in rows
        if r["method"] == "rb_ae" and not r["settings"]["detach_recon"]
    }
    for (seed, epochs, component), altered in by_variant.items():
        if component != "full":
            full = by_variant[seed, epochs, "full"]
            deltas = [f"{full[f] - altered[f]:+.3f}".replace("0.", ".") for f in figures]
            assert component in ("segmenter=msfr", "segmenter=ssim") or ", ".join(deltas) in text
    for measured in rows:
        if measured["method"] == "local_occ":
            assert ", ".join(f"{measured[f]:.3f}".lstrip("0") for f in figures) in text


def test_the_gpu_rows_readme_prints_the_means_over_seeds() -> None:
    text = (GPU_ROWS / "README.md").read_text(encoding="utf-8")
    rows = json.loads((GPU_ROWS / "h200_2026-11-28.json").read_text(encoding="utf-8"))["rows"]
    rows = [row for row in rows if row["method"] == "rb_ae"]
    variants = {(row["component"], row["settings"]["detach_recon"], row["seed"]): row for row in rows}
    compared = {(component, detached) for component, detached, _ in variants if component != "full"}
    assert len(compared) == 8
    for component, detached in compared:
        cells = []
        for figure in ("image_auroc", "pixel_auroc", "pixel_ap", "aupro"):
            full, altered = (
                np.array([variants[name, own_fit, seed][figure] for seed in range(3)])
                for name, own_fit in (("full", False), (component, detached))
            )
            delta = full - altered
            cells.append(f"{delta.mean():+.3f} ± {delta.std(ddof=1):.3f}".replace("0.", "."))
        assert " | ".join(cells) in text, component


@pytest.mark.parametrize(
    ("names", "sets", "setting", "values"),
    [
        (["turns_rto180"], 7, "turns", (1, 8)),
        (["turns_rto180", "size384_rto180"], 6, "size", (256, 384)),
        (["tiles_shape"], 2, "tiles", (0, 1)),
    ],
)
def test_rows_of_few_images_are_what_their_readme_says(
    names: list[str], sets: int, setting: str, values: tuple[int, int]
) -> None:
    folder = ROOT / "lab/bench/few_images"
    text = (folder / "README.md").read_text()
    rows = [row for name in names for row in json.loads((folder / f"patchcore_{name}.json").read_text())]
    assert all(f"`patchcore_{name}.json`" in text for name in names)
    for row in rows:
        assert METHODS[row["method"]].Settings(**row["settings"]).as_dict() == row["settings"]
    if setting == "size":
        rows = [row for row in rows if row["settings"]["turns"] == 8]
    figures = {
        (row["dataset"], row["category"], row["settings"].get(setting, 0), row["seed"]): row["image_auroc"]
        for row in rows
    }
    places = sorted({key[:2] for key in figures if key[2] == values[1]})
    assert len(places) == sets
    for place in places:
        before, after = (np.array([figures[(*place, value, seed)] for seed in range(3)]) for value in values)
        gain = after - before
        cells = f"{before.mean():.3f} | {after.mean():.3f} | {gain.mean():+.3f} ± {gain.std(ddof=1):.3f}"
        assert f"| {'/'.join(place)} | {cells} |" in text


def test_rows_of_four_methods_are_what_their_readme_says() -> None:
    folder = ROOT / "lab/bench/few_images"
    text, rows = (folder / "README.md").read_text(), json.loads((folder / "four_methods.json").read_text())
    rows += [r for r in json.loads((folder / "patchcore_turns_rto180.json").read_text()) if r["settings"]["turns"] == 1]
    figures: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row in rows:
        settings = METHODS[row["method"]].Settings(**row["settings"])
        assert settings == METHODS[row["method"]].Settings() and row["train"] == 20  # `live`
        place = figures.setdefault((row["dataset"], row["category"]), {})
        place.setdefault(row["method"], {})[row["seed"]] = row["image_auroc"]
    for place, of_methods in figures.items():
        cells = []
        for method in ("padim", "patchcore", "cdo", "smcc"):
            draws = of_methods.get(method, {})
            values = np.array([draws[seed] for seed in range(3)]) if set(draws) == {0, 1, 2} else None
            cells.append("–" if values is None else f"{values.mean():.3f} ± {values.std(ddof=1):.3f}")
        assert f"| {'/'.join(place)} | {' | '.join(cells)} |" in text


def test_rows_of_marked_walls_are_what_their_readme_says() -> None:
    folder = ROOT / "lab/bench/few_images"
    rows, text = json.loads((folder / "patchcore_marked_walls.json").read_text()), (folder / "README.md").read_text()
    assert [row["settings"].get("tiles", 0) for row in rows] == [0, 16]
    for row, name in zip(rows, ("squeezed to 256 x 256", "336 tiles of 256 x 256"), strict=True):
        assert METHODS["patchcore"].Settings(**row["settings"]).as_dict() == row["settings"]
        found = f"{row['bad'] - row['missed']} of {row['bad']} | {row['false_alarms']} of {row['good']}"
        figures = " | ".join(f"{row[figure]:.3f}" for figure in ("image_auroc", "pixel_auroc", "aupro"))
        assert f"| {name} | {found} | {figures} |" in text


def test_studies_have_todays_settings() -> None:
    for study in study_files.read_studies():
        assert METHODS[study["method"]].Settings(**study["settings"]).as_dict() == study["settings"]
