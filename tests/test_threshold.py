"""The live threshold: what the server sends, and that the browser says at any threshold what lab says there."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import pytest
from pages import PLACE, Visit, serve, small
from PIL import Image

from lab import metrics, plots
from lab.calibration import MARKED_RATES, Calibration, Scale
from lab.detector import Detector, Finding
from lab.promise import images_for, threshold_for
from lab.ui.comparison import Comparison
from lab.ui.detector_service import ordered_test_items
from lab.ui.jobs import JobRunner
from lab.ui.panel import component
from lab.ui.panel.payload import Truth, judged_payload, scale_payload, shown_image, top
from lab.ui.variant import Variant
from lab.ui.view import View

METHODS = ("padim", "patchcore")

# --- what the server sends --------------------------------------------------------------------------------------------


def calibration(n: int = 12) -> Calibration:
    rng = np.random.default_rng(5)
    peaks = np.sort(rng.gamma(4, 1.0, n)) + 3
    return Calibration.of(rng.normal(0, 1, 4000), peaks, peaks, "drawn")


def level_at(calibration: Calibration, threshold: float) -> int:
    """The lowest level, 1 to 255, of the pixels that are marked at a threshold on scores, in σ."""
    step = top(calibration) / 255
    return int(np.clip(math.ceil(round(calibration.pixel_threshold_at(threshold) / step, 6)), 1, 255))


def finding(score: float, anomaly_map: np.ndarray) -> Finding:
    return Finding(anomaly_map.astype(np.float32), score, "", anomaly_map > 0, {}, "")


def unpacked(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_threshold_on_images_names_one_on_pixels() -> None:
    """Four good images with scores 0 2 4 8 and highest pixels 1 2 3 7; a raw step is 2 σ of pixels, 1 σ of scores."""
    c = Calibration(
        "", Scale(0.0, 1.0), Scale(0.0, 2.0), (0.0, 2.0, 4.0, 8.0), (1.0, 2.0, 3.0, 7.0), 4.0, 8.0, 7.0, 0.5
    )
    known = {0: 1, 1: 1.5, 4: 3, 6: 5, 8: 7, 9: 9, 10.5: 12, -1: -1}
    assert {score: c.pixel_threshold_at(score) for score in known} == pytest.approx(known)
    ties = Calibration("", Scale(0.0, 1.0), Scale(0.0, 1.0), (1.0, 1.0, 2.0), (3.0, 5.0, 6.0), 1.0, 2.0, 6.0, 0.5)
    assert ties.pixel_threshold_at(1) == 5


def test_where_a_image_scores_as_its_highest_pixel_an_alarm_has_a_mark() -> None:
    c = calibration()  # scores and highest pixels are the same raw numbers
    for raw in np.linspace(-5, 40, 30):
        score = (raw - c.score_scale.median) / c.score_scale.unit
        anomaly_map = (raw - c.pixel_scale.median) / c.pixel_scale.unit
        assert c.pixel_threshold_at(score) == pytest.approx(anomaly_map)
    assert c.pixel_threshold_at(c.bad) == c.pixel_bad


@pytest.mark.parametrize("n", [6, 12, 60, 250])
def test_the_detectors_own_mask_is_a_level(n: int) -> None:
    c = calibration(n)
    anomaly_map = np.random.default_rng(n).uniform(0, 3 * c.pixel_bad, (64, 64)).astype(np.float32)
    sent = plots.to_levels(anomaly_map, top(c)) >= level_at(c, c.bad)
    assert np.array_equal(sent, anomaly_map > np.float64(c.pixel_bad)) and 0 < sent.mean() < 1
    assert top(c) >= c.color_span[1] and c.pixel_threshold_at(scale_payload(c)["highest"]) >= top(c) * (1 - 1e-9)


def test_levels_end_with_the_scale() -> None:
    c = calibration()
    assert level_at(c, -1e9) == 1 and level_at(c, 1e9) == 255
    levels = [level_at(c, t) for t in np.linspace(-3, 30, 100)]
    assert levels == sorted(levels)


def test_marks_say_what_so_few_images_can_promise() -> None:
    assert [images_for(rate) for rate in MARKED_RATES] == [9, 19, 99]
    c = calibration(20)
    promises = scale_payload(c)["promises"]
    assert [p["threshold"] for p in promises] == [threshold_for(c.scores, 0.1), c.scores[-1], None]
    assert [p["needs"] for p in promises] == [9, 19, 99]
    assert c.promise(promises[0]["threshold"]) <= 0.1 and c.promise(promises[1]["threshold"]) <= 0.05


def test_the_payload_is_plain_and_complete() -> None:
    c, rng = calibration(), np.random.default_rng(1)
    anomaly_maps = [rng.normal(0, 1, (32, 32)) for _ in range(5)]
    mask = np.zeros((32, 32), bool)
    mask[4:9, 20:30] = True
    anomaly_maps[0][mask], anomaly_maps[1][mask] = 9, 14
    findings = [finding(score, anomaly_map) for score, anomaly_map in zip((9.0, 2.5, 0.5, 3.0, -1.0), anomaly_maps)]
    truths = [Truth(True, mask), Truth(True, mask), Truth(False), Truth(False), Truth(True)]
    sent = json.loads(json.dumps(judged_payload(c, findings, truths)))
    assert [p["score"] for p in sent["images"]] == [9.0, 2.5, 0.5, 3.0, -1.0] and sent["images"][0]["peak"]
    assert (sent["look"], sent["bad"]) == (c.look, c.bad)
    for expected, image in zip(findings, sent["images"]):
        assert np.array_equal(unpacked(image["anomaly_map"]), plots.to_levels(expected.anomaly_map, top(c)))
    pixels = sent["pixels"]  # the last image is bad without an outline: none of its pixels is known
    assert (sum(pixels["normal"]), sum(pixels["abnormal"])) == (4 * 32 * 32 - 100, 100)
    normal = np.concatenate(
        [anomaly_maps[0][~mask], anomaly_maps[1][~mask], anomaly_maps[2].ravel(), anomaly_maps[3].ravel()]
    ).astype(np.float32)
    defective = np.repeat(np.float32([9, 14]), 50)
    assert pixels["margin"] == pytest.approx(metrics.margin(normal, defective))
    assert pixels["overlap"] == metrics.overlap(normal, defective) == 0
    assert sent["numbers"]["auroc"] == pytest.approx(3 / 6) and sent["numbers"]["interval"]
    assert [len(sent["intervals"][name]) for name in ("missed", "alarms")] == [4, 3]
    assert sent["intervals"]["missed"][1] == pytest.approx(metrics.rate_interval(1, 3))


def test_a_set_without_truth_has_no_rates() -> None:
    sent = judged_payload(calibration(), [finding(1.0, np.eye(8))], [Truth(None)])
    assert (
        sent["intervals"] == {"missed": [None], "alarms": [None]}
        and sent["pixels"] is None
        and sent["numbers"]["margin"] is None
    )


def test_a_truth_made_smaller_keeps_every_spot() -> None:
    mask = np.zeros((700, 1400), bool)
    mask[300, 901] = True
    sent = shown_image(np.zeros((700, 1400, 3), np.uint8), mask, "")
    small_mask = unpacked(sent["truth"])
    assert small_mask.shape == (140, 280) and small_mask.sum() >= 1 and small_mask[60, 180] == 1
    assert (sent["width"], sent["height"]) == (1400, 700)


# --- what the browser makes of it -------------------------------------------------------------------------------------


class Lab(NamedTuple):
    """A panel served on small images, and what lab knows of them."""

    address: str
    detectors: dict[str, Detector]
    anomaly_maps: dict[str, list[np.ndarray]]
    scores: dict[str, list[float]]
    names: list[str]
    bad: list[bool]
    at: int


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    service = small(tmp_path_factory.mktemp("cache"), (0.05, 0.2, 0.1, 0.4, 1.0))
    view = View(*PLACE, tuple(map(Variant, METHODS)), "blot-061")
    page = Comparison(service, view, JobRunner(private=False))
    list(page.run(view))
    items = ordered_test_items(service.dataset(PLACE))
    state, detectors = page.panel(view.address), {m: service.detector(PLACE, Variant(m)) for m in METHODS}
    findings = {m: [d.finding(d.raw(i.image()), (d.settings.size,) * 2) for i in items] for m, d in detectors.items()}

    def pick(event: gr.EventData) -> dict[str, Any]:
        page.pick(event._data["name"])
        return page.panel(page.view.address)

    with gr.Blocks(analytics_enabled=False) as blocks:
        live = component.live_panel(page.panel(page.view.address), service.send, tab="compare")
        live.picked(pick, None, live, show_progress="hidden")
    with serve(blocks) as address:
        maps = {m: [f.anomaly_map for f in fs] for m, fs in findings.items()}
        scores = {m: [f.score for f in fs] for m, fs in findings.items()}
        names = [image["label"] for image in state["set"]["images"]]
        yield Lab(address, detectors, maps, scores, names, [item.bad for item in items], state["chosen"])


@pytest.fixture(scope="module")
def visit(browser: Any, served: Lab) -> Visit:
    """One visit, which the tests below continue in their order."""
    seen = Visit(browser, served.address, viewport={"width": 1280, "height": 1400})
    seen.finished(2)
    return seen


def line(visit: Visit, method: str) -> tuple[float, float]:
    """(look, bad) as the handles tell assistive technology."""
    values = [visit.card(method).locator(f".grip.{w}").get_attribute("aria-valuenow") for w in ("look", "bad")]
    return float(values[0]), float(values[1])


def settled(visit: Visit) -> None:
    """Two frames later."""
    visit.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def agrees(visit: Visit, lab: Lab) -> None:
    """Everything shown equals what lab says at the handles' thresholds."""
    for m in METHODS:
        (look_at, bad_at), card, c = line(visit, m), visit.card(m), lab.detectors[m].calibration
        assert c is not None
        rates = metrics.rates(lab.bad, lab.scores[m], bad_at)
        text = card.locator(".rates").inner_text()
        assert f"missed {rates.missed} of {rates.bads}" in text
        assert f"false alarms {rates.false_alarms} of {rates.goods}" in text
        verdicts = ["bad" if s > bad_at else "look" if s > look_at else "good" for s in lab.scores[m]]
        headline = visit.page.locator(".headline").inner_text()
        title = {"padim": "PaDiM", "patchcore": "PatchCore"}[m]
        assert f"{title} finds {rates.bads - rates.missed}" in headline and f"Of {rates.goods} good ones" in headline
        for row, side in enumerate((False, True)):
            cells = card.locator(".counts tbody tr").nth(row).locator("td").all_inner_texts()
            expected = [verdicts[i] for i in range(len(verdicts)) if lab.bad[i] is side]
            assert [int(cell.split()[0]) for cell in cells] == [expected.count(v) for v in ("good", "look", "bad")]
        for row, side in enumerate((True, False)):
            wrong = [lab.names[i] for i, v in enumerate(verdicts) if lab.bad[i] is side and (v == "bad") is not side]
            thumbs = card.locator(".wrongs").nth(row).locator(".mini:not([hidden]) img")
            assert [thumbs.nth(i).get_attribute("alt") for i in range(thumbs.count())] == wrong
        marked = card.locator(".anomaly-map").evaluate("""canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return Array.from({length: data.length / 4}, (_, i) => data[4 * i + 3] >= 120 ? '1' : '0').join('') }""")
        ours = lab.anomaly_maps[m][lab.at] >= plots.level_values(top(c))[level_at(c, bad_at)]
        assert np.array_equal(np.frombuffer(marked.encode(), np.uint8) == ord("1"), ours.ravel())
        assert verdicts[lab.at] in card.locator("figcaption .badge").get_attribute("class")
        label = card.locator(".anomaly-map").get_attribute("aria-label")
        assert {"bad": ": bad,", "look": ": look at it,", "good": ": good,"}[verdicts[lab.at]] in label
        promised = c.promise(bad_at)
        text = card.locator(".words").inner_text()
        if promised is None:
            assert "nothing is promised" in text
        else:
            share = f"{100 * promised:.0f}" if promised >= 0.0995 else f"{100 * promised:.1f}".removesuffix(".0")
            assert f"{share} % are called bad on average, at most " in text and f"1/{len(c.scores) + 1}" in text
    assert not visit.complaints


def test_at_first_every_method_stands_at_its_own_threshold(visit: Visit, served: Lab) -> None:
    for m in METHODS:
        c = served.detectors[m].calibration
        assert c is not None and line(visit, m) == (c.look, c.bad)
        assert visit.card(m).locator(".anomaly-map").get_attribute("width") == str(served.anomaly_maps[m][0].shape[1])
    agrees(visit, served)


def test_keys_move_the_line_and_all_that_hangs_on_it_without_a_request(visit: Visit, served: Lab) -> None:
    requests = len(visit.requests)
    grip = visit.card("padim").locator(".grip.bad")
    assert grip.get_attribute("role") == "slider" and grip.get_attribute("aria-label").startswith("PaDiM")
    grip.focus()
    before, seen = line(visit, "padim")[1], set()
    visit.page.keyboard.press("ArrowRight")
    settled(visit)
    assert line(visit, "padim")[1] == pytest.approx(before + 0.1, abs=0.006)
    for key in ["PageUp"] * 3 + ["End"] + ["Home"] + ["PageUp", "ArrowRight", "ArrowUp"] * 3:
        visit.page.keyboard.press(key)
        settled(visit)
        agrees(visit, served)
        seen.add(visit.card("padim").locator(".rates").inner_text())
    assert len(seen) > 3 and len(visit.requests) == requests
    text = grip.get_attribute("aria-valuetext")
    assert f"{line(visit, 'padim')[1]:.2f} σ" in text and "missed" in text


def test_a_finger_moves_both_handles_and_all_methods(visit: Visit, served: Lab) -> None:
    requests, before = len(visit.requests), {m: line(visit, m) for m in METHODS}
    for which, share in (("bad", 0.7), ("bad", 0.3), ("look", 0.2), ("bad", 0.15)):
        plot, grip = (visit.card("patchcore").locator(w).bounding_box() for w in (".plot.line", f".grip.{which} i"))
        visit.page.mouse.move(grip["x"] + 1, grip["y"] + 60)
        visit.page.mouse.down()
        visit.page.mouse.move(plot["x"] + share * plot["width"], grip["y"] + 30, steps=4)
        visit.page.mouse.up()
        settled(visit)
        agrees(visit, served)
        assert all(line(visit, m)[0] <= line(visit, m)[1] for m in METHODS)
    assert all(line(visit, m)[1] != before[m][1] for m in METHODS) and len(visit.requests) == requests
    defaults = {m: served.detectors[m].calibration.bad for m in METHODS}  # type: ignore[union-attr]
    shares = [line(visit, m)[1] / defaults[m] for m in METHODS]
    assert shares[0] == pytest.approx(shares[1])


def test_a_promise_sets_every_method_to_its_own_mark(visit: Visit, served: Lab) -> None:
    buttons, pressed = visit.page.locator(".promise button"), visit.page.locator(".promise button[aria-pressed=true]")
    n = len(served.detectors["padim"].calibration.scores)  # type: ignore[union-attr]
    assert n == 12 and not pressed.count()
    visit.page.locator(".promise").get_by_text("10 %", exact=True).click()
    settled(visit)
    for m in METHODS:
        scores = served.detectors[m].calibration.scores  # type: ignore[union-attr]
        assert line(visit, m)[1] == threshold_for(scores, 0.1)
    agrees(visit, served)
    assert pressed.all_inner_texts() == ["10 %"]
    assert buttons.all_inner_texts() == ["10 %", "5 % (needs 19)", "1 % (needs 99)"]
    assert [buttons.nth(i).is_disabled() for i in range(3)] == [False, True, True]
    assert f"needs 99 good images; there are {n}" in str(buttons.nth(2).get_attribute("title"))
    assert "5 % would take 19" in visit.card("padim").locator(".words").inner_text()


def test_a_stretched_map_is_warned_of_and_changes_back(visit: Visit, served: Lab) -> None:
    requests, before, warning = len(visit.requests), visit.maps(), visit.page.locator(".warning")
    switch = visit.page.get_by_label("stretch each map to its own range")
    assert not switch.is_checked() and not warning.is_visible()
    legends = visit.page.locator(".legend").all_inner_texts()
    switch.check()
    settled(visit)
    assert all(now != before[m] for m, now in visit.maps().items())
    text = "colours can no longer be compared between images or methods, and say nothing about good or bad"
    assert warning.is_visible() and text in warning.inner_text()
    for m in METHODS:  # full colour where this map is highest, none where it is lowest
        anomaly_map, step = served.anomaly_maps[m][served.at], top(served.detectors[m].calibration) / 255  # type: ignore[arg-type]
        alpha = (
            visit.card(m)
            .locator(".anomaly-map")
            .evaluate("""canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return Array.from(data.filter((_, i) => i % 4 === 3)) }""")
        )
        assert (
            alpha[int(anomaly_map.argmax())] == max(alpha) > 200 and alpha[int(anomaly_map.argmin())] == min(alpha) == 0
        )
        assert f"{anomaly_map.max() // step * step:.1f} σ" in visit.card(m).locator(".legend").inner_text()
    switch.uncheck()
    settled(visit)
    assert visit.maps() == before and not warning.is_visible() and len(visit.requests) == requests
    assert visit.page.locator(".legend").all_inner_texts() == legends
    agrees(visit, served)


def test_the_pointer_shows_one_spot_everywhere(visit: Visit, served: Lab) -> None:
    box = visit.page.locator(".source .stack").bounding_box()
    visit.page.mouse.move(box["x"] + 0.42 * box["width"], box["y"] + 0.41 * box["height"])
    for m in METHODS:
        anomaly_map, c = served.anomaly_maps[m][served.at], served.detectors[m].calibration
        assert c is not None
        here = float(anomaly_map[int(0.41 * anomaly_map.shape[0]), int(0.42 * anomaly_map.shape[1])])
        value = visit.card(m).locator(".spot").get_attribute("data-value").removesuffix(" σ")
        if value[0] in "<≥":
            assert here <= float(value[1:]) + 0.05 if value[0] == "<" else here >= float(value[1:]) - 0.05
        else:
            assert float(value) == pytest.approx(here, abs=top(c) / 255 + 0.05)
    assert visit.page.locator(".spot:visible").count() == 3


def test_the_address_restores_the_threshold(browser: Any, visit: Visit, served: Lab) -> None:
    visit.card("padim").locator(".grip.bad").focus()
    visit.page.keyboard.press("PageDown")
    visit.page.keyboard.press("ArrowLeft")
    settled(visit)
    moved = line(visit, "padim")[1]
    visit.until(
        "t => new URLSearchParams(location.search).get('threshold') == t", f"{moved:.2f}".rstrip("0").rstrip(".")
    )
    query = visit.page.evaluate("location.search")
    assert "tab=compare&set=samples&category=stripes&methods=padim,patchcore&image=blot-061" in query
    again = Visit(browser, served.address + query)
    again.finished(2)
    assert [line(again, m) for m in METHODS] == [line(visit, m) for m in METHODS]
    agrees(again, served)
    again.page.goto(served.address + query.replace("tab=compare", "tab=other"))  # meant for another panel
    again.finished(2)
    assert line(again, "padim")[1] == served.detectors["padim"].calibration.bad  # type: ignore[union-attr]
    again.page.close()


def test_an_image_is_picked_where_it_is_shown(visit: Visit, served: Lab) -> None:
    visit.card("padim").locator(".dot[data-number='4']").dispatch_event("pointerdown", {"button": 0})
    visit.until("name => document.querySelector('.source figcaption')?.innerText == name", served.names[4])
    settled(visit)
    agrees(visit, served._replace(at=4))
    visit.page.locator(".thumb[aria-current=true]").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.until("name => document.querySelector('.source figcaption')?.innerText == name", served.names[5])
    settled(visit)
    agrees(visit, served._replace(at=5))
    assert all(url.startswith((served.address, "data:", "blob:")) for url in visit.requests)
