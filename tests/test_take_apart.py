"""The tab *Take apart*: what an address asks, what is fitted again and what is not, what is shown; and in a browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from pages import PLACE, SMALL, Visit, serve, small
from pages import tiny as made_tiny

from lab import METHODS, data
from lab.detector import Detector
from lab.errors import LabError
from lab.methods.cdo import CDO
from lab.ui import variant
from lab.ui.detector_service import DetectorService
from lab.ui.take_apart import drawings, results
from lab.ui.take_apart.drawings import inner_views
from lab.ui.take_apart.session import Question, TakeApartSession, studied_place
from lab.ui.take_apart.tab import TakeApart
from lab.ui.variant import Variant
from lab.ui.variant_address import from_text, to_text

START = Question(*PLACE, Variant.of("cdo", {"oom": False}))
CDO_PLAIN, CDO_OFF = START.view.variants


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published, fitted in a moment; and the small images as a category of the samples."""
    made_tiny(monkeypatch)
    monkeypatch.setattr(data, "categories", lambda source: [PLACE[1]])


@pytest.fixture
def service(tmp_path: Path) -> DetectorService:
    return small(tmp_path)


def ran(page: TakeApartSession, question: Question, fit: bool = True) -> TakeApartSession:
    for _ in page.comparison.run(question.view, fit):
        pass
    return page


def asking(method: str, **changes: Any) -> Question:
    return Question(*PLACE, Variant.of(method, changes))


def test_a_paper_opens_where_its_ablation_was_measured(
    service: DetectorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studied_place("rb_ae") == ("samples", "cloth") and studied_place("local_occ") == ("samples", "connector")
    assert studied_place("autoencoder") is None  # no paper of ours
    monkeypatch.setattr(data, "categories", lambda source: ["cloth", PLACE[1]])
    with gr.Blocks(analytics_enabled=False):
        tab = TakeApart(service, START)
    request, asked = gr.Request(session_hash="s"), list[tuple[str, str]]()
    monkeypatch.setattr(
        tab, "choose", lambda method, *place_and_request: asked.append(place_and_request[:2]) or iter(())
    )
    first = next(iter(tab.choose_paper("rb_ae", *PLACE, request)))
    assert (first[tab.source], first[tab.category]["value"]) == ("samples", "cloth")
    tab.sessions.of(request).last["rb_ae"] = asking("rb_ae")
    assert next(iter(tab.choose_paper("rb_ae", "samples", "cloth", request)))[tab.category]["value"] == PLACE[1]


# --- names --------------------------------------------------------------------------------------------------------


def test_a_variant_holds_what_differs_from_the_published_settings() -> None:
    altered = Variant.of("cdo", {"gamma": 1.5, "oom": False, "mom": True})
    assert to_text(altered) == "cdo?oom=0&gamma=1.5" and altered.changes == (("oom", False), ("gamma", 1.5))
    assert from_text(to_text(altered)) == altered and hash(from_text(to_text(altered))) == hash(altered)
    assert altered.settings() == altered.published.replace(oom=False, gamma=1.5)
    assert Variant.of("rb_ae", {"segmenter": "msfdm"}) == Variant("rb_ae")
    assert from_text("rb_ae?rbam=0&segmenter=ssim").without_scoring_changes == from_text("rb_ae?rbam=0")
    assert from_text("cdo?oom=0&gamma=1").title == "CDO without OOM, gamma 1"
    for wrong in ("cdo?oom=2", "cdo?gamma=high", "cdo?gamma=nan", "cdo?gamma=9", "cdo?epochs=9", "magic", "cdo?size=1"):
        with pytest.raises(LabError):
            from_text(wrong)


def test_a_variant_takes_the_service_backbone_and_keeps_a_chosen_one() -> None:
    assert Variant("padim").settings("resnet18.tv_in1k").as_dict()["backbone"] == "resnet18.tv_in1k"
    chosen = Variant("padim").on_backbone("resnet18.tv_in1k")
    assert to_text(chosen) == "padim?backbone=resnet18.tv_in1k" and chosen.backbone == "resnet18.tv_in1k"
    assert chosen.settings("wide_resnet50_2.tv_in1k").as_dict()["backbone"] == "resnet18.tv_in1k"
    assert chosen.title == "PaDiM on resnet18.tv_in1k" and chosen.on_backbone("") == Variant("padim")
    assert Variant("rb_ae").on_backbone("resnet18.tv_in1k") == Variant("rb_ae")  # it has none to choose


def test_controls_are_drawn_from_the_settings() -> None:
    assert variant.methods_with_components() == ["cdo", "smcc", "rb_ae", "local_occ"]
    assert list(variant.controls("cdo")) == ["mom", "oom", "gamma", "resize", "image_score"]
    field = variant.controls("cdo")["oom"]
    assert (variant.label(field), variant.description(field)) == ("OOM", "hard pixels weigh most")


def test_an_address_restores_the_question() -> None:
    assert START.with_query({}) == START and START.with_query({"method": "cdo"}).view.variants == (CDO_PLAIN,)
    query = {"tab": "take-apart", "method": "rb_ae", "rbam": "0", "segmenter": "ssim", "image": "blot-061"}
    restored = START.with_query(query)
    assert [to_text(v) for v in restored.view.variants] == ["rb_ae", "rb_ae?rbam=0&segmenter=ssim"]
    assert restored.image == "blot-061"
    for wrong in ({"method": "patchcore"}, {"method": "magic"}, {"method": "cdo", "oom": "x"}, {"category": "spoon"}):
        with pytest.raises(LabError):
            START.with_query(wrong)


# --- fits ---------------------------------------------------------------------------------------------------------


def test_a_run_shows_both_and_what_changes(service: DetectorService) -> None:
    page = ran(TakeApartSession(service, START), START, fit=False)
    shown = page.comparison.shown
    assert page.panel()["image"] and not shown.maps and "Run fits CDO as published and" in page.status().message
    steps = page.comparison.run(START.view)
    curves = [len(page.curves().get("CDO as published", {}).get("loss", [])) for _ in steps]
    assert curves == sorted(curves) and curves[-1] == 3
    full, off = page.panel()["slots"]
    assert [full["title"], off["title"]] == ["CDO as published", "CDO without OOM"]
    assert full["finding"]["anomaly_map"] != off["finding"]["anomaly_map"] and full["payload_key"] != off["payload_key"]
    address = {name: text for name, text in page.panel()["address"].items() if text is not None}
    assert address == dict(set="samples", category="stripes", method="cdo", oom="0")

    rows = {row.figure: row for row in page.deltas()}
    published, altered = (shown.surveys[v].figures for v in START.view.variants)
    assert rows["pixel_auroc"].difference == published["pixel_auroc"] - altered["pixel_auroc"]
    claim = rows["pixel_auroc"].claim
    assert claim and claim.delta == pytest.approx(0.0031) and claim.where == "Table IV, MVTec AD"
    assert rows["pixel_ap"].agreement == "not in the paper" and rows["aupro"].agreement.endswith("sign, one seed")

    views = page.views()
    assert list(views) == ["CDO as published", "CDO without OOM"]
    weights = [v["weight in training if normal, w_n"] for v in views.values()]
    assert np.ptp(weights[0]) > 0.1 and np.all(weights[1] == 1)
    page.comparison.pick("test/blot/061")
    assert not np.array_equal(page.views()["CDO as published"]["hierarchy 1"], views["CDO as published"]["hierarchy 1"])
    drawn = drawings.curves(page.curves())
    assert "synthetic pixels, CDO as published" in drawn and drawn.count("<figure>") == 2
    drawn = drawings.distributions(page.pixels())
    assert drawn.count("<path") == 4 and "CDO without OOM: margin " in drawn


def test_what_only_scores_needs_no_new_fit(service: DetectorService, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ran(TakeApartSession(service, START), START)
    monkeypatch.setattr(CDO, "learn", lambda *_: pytest.fail("it was fitted again"))
    question = asking("cdo", oom=False, resize=False, image_score="top1")
    ran(page, question, fit=False)  # goes on, as nothing has to be fitted
    slots = page.panel()["slots"]
    assert slots[1]["title"].startswith("CDO without OOM, without resize") and all(
        slot["payload_key"] for slot in slots
    )
    before, after = service.detector(PLACE, CDO_OFF), service.detector(PLACE, question.variant)
    assert before.calibration != after.calibration and after.method.history == before.method.history
    with pytest.raises(LabError, match="oom"):
        before.with_scoring([], oom=True)


def test_a_rescored_detector_is_the_one_a_new_fit_would_give(good: list[np.ndarray], bad: np.ndarray) -> None:
    settings = SMALL["cdo"] | {"epochs": 1}
    fresh = Detector("cdo", **settings, image_score="top1").fit(good, seed=3)
    again = Detector("cdo", **settings).fit(good, seed=3).with_scoring(good, image_score="top1")
    assert again.calibration == fresh.calibration and again.detect(bad).score == fresh.detect(bad).score


def test_cancelling_a_training_leaves_the_page_usable(
    service: DetectorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = TakeApartSession(service, START)
    with monkeypatch.context() as patch:
        made_tiny(patch, {"cdo": SMALL["cdo"]}, epochs=2000)  # long enough to be seen at work
        for _ in page.comparison.run(START.view):
            if "epoch" in page.runner.status.message:
                page.runner.cancel()
    assert "Cancelled" in page.status().message and not page.runner.running and not service.fitting
    assert page.panel()["slots"][1]["status"] == "not fitted: cancelled"
    ran(page, asking("cdo"))
    assert "Change something" in page.status().message and len(page.panel()["slots"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["smcc", "rb_ae", "local_occ"])
def test_every_component_changes_the_map(service: DetectorService, method: str) -> None:
    page = TakeApartSession(service, START)
    base = Variant(method).published
    for settings in list(METHODS[method].ablations(base).values())[1:]:
        ran(page, asking(method, **{name: getattr(settings, name) for name in variant.controls(method)}))
        full, off = page.panel()["slots"]
        assert full["finding"]["anomaly_map"] != off["finding"]["anomaly_map"], off["title"]
        assert page.deltas() and "<img" in inner_views(page.views(), "blot")


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_rows_of_deltas_by_hand() -> None:
    base = CDO.Settings()
    full = dict(image_auroc=0.9, pixel_auroc=0.95, aupro=0.8, pixel_ap=None, margin=2.0, overlap=0.1)
    off = dict(image_auroc=0.8, pixel_auroc=0.97, aupro=0.8, pixel_ap=0.5, margin=1.0, overlap=0.3)
    rows = results.deltas("cdo", (base, base.replace(oom=False)), (full, off), ("samples", "washer"))
    beside = {row.figure: row.agreement for row in rows}
    assert beside["pixel_auroc"] == "not the same sign, one seed" and beside["overlap"] == "same sign, one seed"
    assert {row.figure: row.difference for row in rows}["pixel_ap"] is None
    shown = results.results_table(rows, ["as published", "without OOM"], (("seed", "0"),), "cdo")
    assert "-0.020</button>" in shown and "+0.0031</button>" in shown and "One seed, one category" in shown
    assert "?tab=papers&amp;table=cdo/IV" in shown
    odd = results.deltas("cdo", (base, base.replace(gamma=1.0)), (full, off), ("samples", "washer"))
    assert not any(row.claim for row in odd)


def test_curves_stand_on_one_axis() -> None:
    shown = drawings.curves({"A": {"loss": [4.0, 2.0, 0.0]}, "B": {"loss": [1.0, float("nan"), 2.0], "d, x": [1.0]}})
    assert re.findall(r'class="line full c0" d="([^"]*)"', shown)[0] == "M0.0 0.00L500.0 50.00L1000.0 100.00"
    assert re.findall(r'class="line dashed c0" d="([^"]*)"', shown)[0] == "M0.0 75.00L1000.0 50.00"
    assert drawings.curves({"A": {}}) == "" and "logarithmic" in drawings.curves({"A": {"loss": [100.0, 1.0]}})


def test_a_set_that_was_downloaded_meanwhile_is_on_the_menu(
    service: DetectorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gr.Blocks(analytics_enabled=False):
        tab = TakeApart(service, START)
    request = gr.Request(session_hash="a", query_params={})
    assert "btad" not in [name for name, _ in tab.source.choices]
    monkeypatch.setattr(data, "sets", lambda: {"samples": None, "btad": None})
    assert next(tab.open(request))[tab.source] == gr.update(choices=["samples", "btad"], value="samples")


# --- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def address(service: DetectorService) -> Iterator[str]:
    with gr.Blocks(analytics_enabled=False, fill_width=True) as blocks:
        with gr.Tabs(), gr.Tab("Take apart", id="take-apart"):
            tab = TakeApart(service, START)
        tab.load(blocks)
    docs = blocks.get_api_info()["named_endpoints"]["/take_apart_cdo"]
    assert [p["parameter_name"] for p in docs["parameters"]] == [
        "source", "category", "mom", "oom", "gamma", "resize", "image_score",
    ]  # fmt: skip
    with serve(blocks) as url:
        yield url


def run(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Run").locator("visible=true").click()


def test_switching_oom_off_changes_the_map(browser: Any, address: str) -> None:
    query = "?tab=take-apart&method=cdo&oom=1&image=blot-061"
    visit = Visit(browser, address + query, viewport={"width": 390, "height": 800})
    page = visit.page
    visit.until("() => document.querySelector('.source figcaption')?.innerText == 'blot 61'")
    assert page.get_by_role("checkbox", name="OOM").is_checked() and page.locator(".card").count() == 2
    page.get_by_role("checkbox", name="OOM").uncheck()
    visit.until("() => location.search.includes('oom=0')")
    run(visit)
    visit.finished(2)
    page.get_by_role("heading", name="What it changes").wait_for()
    maps = visit.maps()
    assert list(maps) == ["cdo", "cdo?oom=0"] and len(set(maps.values())) == 2
    assert page.get_by_text("Inside the method: blot 61").is_visible() and page.locator(".chart svg").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("checkbox", name="MOM").uncheck()
    visit.told("Run fits CDO without MOM, without OOM")
    visit.until("() => location.search.includes('method=cdo&mom=0&oom=0&image=blot-061')")
    page.get_by_label("RB-AE").check()
    page.get_by_role("checkbox", name="RBAM").wait_for()
    visit.until("() => location.search.includes('method=rb_ae') && !location.search.includes('oom')")
    assert not visit.complaints
    assert not visit.abroad(address)
    page.close()


@pytest.mark.parametrize(("method", "component"), [("smcc", "l_o"), ("rb_ae", "rbam"), ("local_occ", "imm")])
def test_switching_a_component_changes_the_map(browser: Any, address: str, method: str, component: str) -> None:
    query = f"?tab=take-apart&method={method}&image=blot-061"
    visit = Visit(browser, address + query, viewport={"width": 1280, "height": 900})
    visit.told("Run fits")
    switch = visit.page.get_by_role("checkbox", name=variant.label(variant.controls(method)[component]), exact=True)
    before = switch.is_checked()
    switch.set_checked(not before)
    visit.until("text => location.search.includes(text)", f"{component}={int(not before)}")
    run(visit)
    visit.finished(2)
    maps = visit.maps()
    assert list(maps) == [method, f"{method}?{component}={int(not before)}"] and len(set(maps.values())) == 2
    assert not visit.complaints and not visit.abroad(address)
    visit.page.close()


def test_controls_that_load_late_do_not_lock_the_page(browser: Any, address: str) -> None:
    visit = Visit(browser, "about:blank", viewport={"width": 1280, "height": 900})
    late: list[Any] = []
    loaded = False

    def hold(route: Any) -> None:  # what draws CDO's slider, which the first view hides: comes after everything else
        if 'type="range"' in (answer := route.fetch()).text() and not loaded:
            late.append((route, answer))
        else:
            route.fulfill(response=answer)

    visit.page.route("**/assets/Index-*.js", hold)
    visit.page.goto(f"{address}?tab=take-apart&method=rb_ae")
    visit.page.get_by_label("RB-AE").wait_for()
    until = time.monotonic() + 100
    while not late and time.monotonic() < until:
        visit.page.wait_for_timeout(100)
    visit.page.wait_for_timeout(1500)
    loaded = True
    for route, answer in late:
        route.fulfill(response=answer)
    assert late
    visit.told("Run fits")
    visit.page.get_by_role("checkbox", name="RBAM").uncheck(timeout=10_000)
    visit.page.close()


def test_cancelling_in_the_browser(browser: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = CDO.presets()
    slow = known | {"live": known["live"].replace(epochs=2000)}
    with monkeypatch.context() as long:
        long.setattr(CDO, "presets", classmethod(lambda cls: slow))
        visit = Visit(browser, f"{address}?tab=take-apart&method=cdo&oom=0", viewport={"width": 1280, "height": 900})
        visit.told("Run fits")
        run(visit)
        visit.told("epoch")
        visit.page.locator(".apart .chart svg").first.wait_for()  # the loss curve, while it trains
        visit.page.get_by_role("button", name="Cancel").click()
        visit.told("Cancelled")
    visit.page.get_by_role("checkbox", name="OOM").check()
    visit.told("Run fits CDO as published")
    run(visit)
    visit.finished(1)
    assert not visit.complaints
    visit.page.close()
