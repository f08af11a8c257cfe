"""The page, as a visitor meets it: in a real browser, cold, with nothing at hand but the checkout."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import ROOT
from pages import PLACE, Visit, item, served, small

from lab import data
from lab.errors import Cancelled, LabError
from lab.lru_cache import LRUCache
from lab.parts import features
from lab.ui.compare.tab import Compare, button_label
from lab.ui.comparison import PANEL, Comparison
from lab.ui.detector_service import DetectorService
from lab.ui.jobs import STATUS, JobQueue, JobRunner
from lab.ui.sessions import Sessions, session_key
from lab.ui.variant import Variant
from lab.ui.variant_address import from_text
from lab.ui.view import View

PADIM, PATCHCORE, CDO = map(Variant, ("padim", "patchcore", "cdo"))

# --- what stands behind the page --------------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path) -> DetectorService:
    return small(tmp_path)


def comparing(service: DetectorService, *variants: Variant, image: str = "") -> Comparison:
    return Comparison(service, View(*PLACE, variants, image), JobRunner(private=False))


def test_a_detector_is_fitted_once_and_found_again_on_disk(service: DetectorService, tmp_path: Path) -> None:
    detector = service.detector(PLACE, PADIM)
    assert service.detector(PLACE, PADIM) is detector
    again = small(tmp_path)
    loaded = again.ready(PLACE, PADIM)
    assert loaded is not None and loaded.calibration == detector.calibration
    assert again.ready(PLACE, PATCHCORE) is None
    next(tmp_path.glob("*.safetensors")).write_bytes(b"cut off")
    assert small(tmp_path).ready(PLACE, PADIM) is None


def test_a_run_fills_the_page_and_tells_detectors_apart(service: DetectorService) -> None:
    page = comparing(service, PADIM, image="blot-061")
    parts = set().union(*page.run(page.view))
    assert parts == {STATUS, PANEL} and not page.runner.running
    state = page.panel(page.view.address)
    slot, survey = state["slots"][0], page.shown.surveys[PADIM]
    payload = service.send({"payload": slot["payload_key"]})
    scores = [image["score"] for image in payload["images"]]
    assert [image["bad"] for image in state["set"]["images"]] == [True] * 3 + [False] * 3 and survey.scores == scores
    assert payload["numbers"]["auroc"] == 1.0 and min(scores[:3]) > max(scores[3:])
    assert len(survey.scores) == 6
    assert state["chosen"] == 1 and state["set"]["drawn"] == 6 and "made for this test" in state["set"]["source"]
    assert len(service.send({"thumbs": list(PLACE), "from": 4})) == 2
    finding = service.detector(PLACE, PADIM).detect(item(61, "blot").image())
    assert slot["finding"]["score"] == pytest.approx(finding.score)


def test_a_page_can_fetch_nothing_but_surveys_and_thumbnails(service: DetectorService) -> None:
    for request in (None, [], "x", {"payload": "x"}, {"payload": ["x"]}, {"thumbs": ["/etc", "x"], "from": 0}):
        assert not service.send(request)


def test_an_address_names_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    start = View("samples", "washer", (PATCHCORE, PADIM), "test/missing_tooth/006")
    assert start.with_query({}) == start and start.with_query({"tab": "compare", "__theme": "dark"}) == start
    assert start.with_query({"methods": "padim,cdo,padim"}).methods == ["padim", "cdo"]
    cloth = start.with_query({"set": "samples", "category": "cloth", "image": "hole-003"})
    assert (cloth.category, cloth.image) == ("cloth", "hole-003")
    assert start.with_query({"category": "cloth"}).image == ""
    for wrong in ({"set": "/etc"}, {"category": "spoon"}, {"methods": "padim,magic"}, {"methods": ","}):
        with pytest.raises(LabError):
            start.with_query(wrong)


def test_what_is_missing_is_said_in_a_sentence(service: DetectorService, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(tag: str) -> Path:
        raise LabError(f"{tag} is not at hand; make it")

    monkeypatch.setattr(features, "find_weights", missing)
    page = comparing(service, PADIM, PATCHCORE)
    list(page.run(page.view))
    status = page.runner.status.html()
    assert "embedded is not at hand; make it" in status and "An error of ours" not in status
    assert button_label(page.runner) == "Try again" and page.panel({})["image"]


def test_a_fault_of_ours_has_an_id_and_leaves_the_page_alive(
    service: DetectorService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = comparing(service, PADIM)
    with monkeypatch.context() as broken:
        broken.setattr(DetectorService, "ready", lambda *_: 1 / 0)
        list(page.run(page.view))
    message = page.runner.status.message
    assert message.startswith("An error of ours (id ") and message.split("id ")[1][:6] in caplog.text
    list(page.run(page.view))
    assert PADIM in page.shown.maps


def test_a_cancelled_fit_leaves_queue_and_page_usable(service: DetectorService) -> None:
    page = comparing(service, CDO)
    for _ in page.run(page.view):
        if "CDO" in page.runner.status.message:
            page.runner.cancel()
    assert page.runner.status.message == "Cancelled. What was finished stays." and not page.runner.running
    assert button_label(page.runner) == "Try again" and page.panel({})["slots"][0]["status"] == "not fitted: cancelled"
    list(page.run(View(*PLACE, (PADIM,))))
    assert PADIM in page.shown.maps


def test_a_run_that_ends_late_does_not_end_the_next(service: DetectorService) -> None:
    page = comparing(service, PADIM)
    first = page.run(page.view)
    next(first)
    while "judged" not in page.runner.status.message:  # its work is done, but the browser has not heard of it yet
        time.sleep(0.01)
    second = page.run(View(*PLACE, (PATCHCORE,)))
    assert next(second) == {STATUS, PANEL} and page.runner.running
    assert not list(first) and page.runner.running
    assert list(second) and PATCHCORE in page.shown.maps and "PatchCore has judged" in page.runner.status.message


def test_a_job_that_outlives_its_run_does_not_disturb_the_newer_view(
    service: DetectorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older job is held inside a fit while a newer view, of another category, is asked for."""
    other = ("samples", "other")
    service.datasets.put(other, service.dataset(PLACE))
    inside, leave, fit = threading.Event(), threading.Event(), DetectorService.detector

    def slow(self: DetectorService, place: Any, variant: Variant, report: Any) -> Any:
        if place == PLACE:
            inside.set()
            leave.wait(10)
        return fit(self, place, variant, report)

    monkeypatch.setattr(DetectorService, "detector", slow)
    page = comparing(service, PADIM)
    first = page.run(page.view)
    next(first)
    assert inside.wait(10)
    older, second = page.shown, page.run(View(*other, (PADIM,)))
    assert next(second) == {STATUS, PANEL} and page.panel({})["set"]["key"] == list(other)
    leave.set()
    assert not list(first) and list(second)
    assert page.shown is not older and not older.maps and "not fitted: cancelled" not in older.reasons.values()
    assert PADIM in page.shown.maps and "PaDiM has judged" in page.runner.status.message


def test_features_of_public_images_stay_when_a_session_ends(service: DetectorService) -> None:
    features.CACHE.pop_where(lambda key: True)
    page = comparing(service, PADIM)
    list(page.run(page.view))
    assert features.CACHE.keys()
    page.runner.close()
    assert features.CACHE.keys()
    features.CACHE.pop_where(lambda key: True)


def test_unknown_choices_are_refused(service: DetectorService) -> None:
    page = comparing(service, PADIM)
    with pytest.raises(LabError, match="no method 'nothing'"):
        from_text("nothing")
    for view in (View(*PLACE, ()), View("/etc", "x", (PADIM,))):
        assert set().union(*page.run(view)) == {STATUS} and page.runner.status.message and page.view is not view


def test_the_line_serves_in_order_and_lets_go_of_who_leaves() -> None:
    line, order, said = JobQueue(), list[str](), list[str]()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with line.turn(lambda f, w: None):
            inside.set()
            leave.wait(5)
            order.append("first")

    def impatient(fraction: float, message: str) -> None:
        said.append(message)
        raise Cancelled

    def second() -> None:
        with line.turn(lambda f, w: None):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(5)
    with pytest.raises(Cancelled), line.turn(impatient):
        pytest.fail("it was not its turn")
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "second"] and said == ["waiting, 1 before this one"]


def test_a_cache_drops_what_was_used_longest_ago() -> None:
    cache: LRUCache[str, int] = LRUCache(10, size=lambda v: v)
    cache.put("a", 4), cache.put("b", 4)
    assert cache.get("a") == 4
    cache.put("c", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (4, None, 4)


def test_all_who_ask_a_cache_at_once_get_the_same() -> None:
    gone = list[object]()
    cache: LRUCache[str, object] = LRUCache(10, on_evict=gone.append)
    both, got = threading.Barrier(2), list[object]()

    def make() -> object:
        both.wait(5)  # neither is there before both are being made
        return object()

    threads = [threading.Thread(target=lambda: got.append(cache.get_or_create("a", make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert got[0] is got[1] is cache.get("a") and len(gone) == 1 and gone[0] is not got[0]


def test_what_has_grown_in_a_cache_makes_others_go() -> None:
    cache: LRUCache[str, list[int]] = LRUCache(10, size=sum)
    mine = cache.put("mine", [4])
    cache.put("other", [4])
    mine.append(4)
    cache.refresh("mine")
    assert cache.values() == [mine]
    cache.refresh("other")  # gone: it does not come back
    assert cache.values() == [mine]


def test_a_session_belongs_to_one_visitor() -> None:
    assert session_key(gr.Request(session_hash="a")) == "a"
    for nobody in (None, ""):
        with pytest.raises(gr.Error, match="session"):
            session_key(gr.Request(session_hash=nobody))


def test_a_session_is_closed_when_its_visitor_leaves_or_room_is_needed() -> None:
    class Recorded:
        def __init__(self, key: str):
            self.key = key

        def close(self) -> None:
            closed.append(self.key)

    closed, sessions = list[str](), Sessions(Recorded, limit=2)
    one, two, three = (gr.Request(session_hash=key) for key in "123")
    assert sessions.of(one) is sessions.of(one) and sessions.of(two) is not sessions.of(one)
    sessions.refresh(two)
    sessions.of(three)
    assert closed == ["1"] and [session.key for session in sessions.all()] == ["2", "3"]
    sessions.leave(two)
    sessions.leave(two)
    assert closed == ["1", "2"] and [session.key for session in sessions.all()] == ["3"]


def test_scores_are_of_what_was_asked_or_not_told(service: DetectorService, monkeypatch: pytest.MonkeyPatch) -> None:
    with gr.Blocks(analytics_enabled=False):
        tab = Compare(service, View(*PLACE, (PADIM,)))
    request = gr.Request(session_hash="a")
    monkeypatch.setattr(data, "sets", lambda: {"samples": None})
    (padim,) = tab.scores(*PLACE, ["padim"], request)
    assert padim["method"] == "padim" and len(padim["images"]) == 6
    for choices, message in (
        (("nowhere", PLACE[1], ["padim"]), "no set 'nowhere'"), (("samples", "spoon", ["padim"]), "spoon"),
        ((*PLACE, ["padim", "magic"]), "no method 'magic'"), ((*PLACE, []), "two to four"),
    ):  # fmt: skip
        with pytest.raises(gr.Error, match=message):
            tab.scores(*choices, request)


# --- the page in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[str]:
    """The page, served by `python app.py` with an empty cache and no real data."""
    with served(ROOT, tmp_path_factory.mktemp("page") / "app.log") as address:
        yield address


@pytest.fixture(scope="module")
def visit(browser: Any, address: str) -> Visit:
    """One visit, which the tests below continue in their order."""
    return Visit(browser, address, viewport={"width": 1280, "height": 1000})


def test_the_first_view_fills_itself(visit: Visit) -> None:
    visit.until("() => document.querySelectorAll('.card.done').length == 2")
    maps = visit.maps()
    assert list(maps) == ["patchcore", "padim"] and len(set(maps.values())) == 2
    visit.finished(2)
    visit.until("() => !document.querySelector('.thumb.open')")
    text = visit.page.inner_text("body")
    assert "Annotation-Free Anomaly Lab" in text and "CC0" in text and "false alarms" in text
    assert all(image.get_attribute("alt") is not None for image in visit.page.query_selector_all("img"))
    label = visit.card("patchcore").locator(".anomaly-map").get_attribute("aria-label")
    assert label.startswith("PatchCore: ") and "σ" in label and "marked" in label


def test_nothing_but_this_host_is_asked_and_the_console_is_silent(visit: Visit, address: str) -> None:
    assert visit.requests and not visit.abroad(address) and not visit.complaints


def test_another_image_changes_the_maps(visit: Visit) -> None:
    before = visit.maps()
    visit.page.locator(".thumb[aria-current=false]").nth(3).click()
    visit.until("old => document.querySelector('.done .anomaly-map').toDataURL() != old", before["patchcore"])
    after = visit.maps()
    assert list(after) == list(before) and all(after[m] != before[m] for m in before)


def test_the_blend_moves_all_panes_without_a_request(visit: Visit) -> None:
    requests = len(visit.requests)
    visit.page.get_by_label("blend of image and anomaly map").fill("0.25")
    opacity = "() => [...document.querySelectorAll('.done .anomaly-map')].map(e => getComputedStyle(e).opacity)"
    assert visit.page.evaluate(opacity) == ["0.25", "0.25"] and len(visit.requests) == requests
    visit.page.get_by_label("blend of image and anomaly map").fill("0.7")


def test_a_method_can_be_left_out_and_the_strip_follows(visit: Visit) -> None:
    borders = visit.page.eval_on_selector_all(".thumb", "all => all.map(t => t.className)")
    visit.remove("PatchCore")
    visit.until("() => document.querySelectorAll('.card').length == 2")
    visit.until("() => document.querySelector('.guide')?.innerText.includes('what PaDiM says')")
    assert list(visit.maps()) == ["padim"]
    assert visit.page.eval_on_selector_all(".thumb", "all => all.map(t => t.className)") != borders


def test_another_category_changes_images_and_maps(visit: Visit) -> None:
    before = visit.maps()
    visit.choose("Category", "capsule")
    visit.until("() => document.querySelector('.source')?.innerText.includes('capsule')")
    script = "old => ![undefined, old].includes(document.querySelector('.done .anomaly-map')?.toDataURL())"
    visit.until(script, before["padim"])
    assert list(visit.maps()) == ["padim"] and not visit.complaints
    visit.until("() => location.search.includes('category=capsule&methods=padim&image=crack-000')")


@pytest.mark.parametrize("key", ["Tab", "Escape"])
@pytest.mark.parametrize("menu", ["Set", "Category", "Backbone"])
def test_a_menu_that_was_opened_and_left_changes_nothing(visit: Visit, menu: str, key: str) -> None:
    visit.told("PaDiM has judged")
    chosen = lambda: [visit.page.get_by_label(label).first.input_value() for label in ("Set", "Category", "Backbone")]
    before, maps, address = chosen(), visit.maps(), visit.page.evaluate("location.search")
    assert before[1] == "capsule"  # not the first one
    with visit.page.expect_response(lambda response: "/queue/join" in response.url):  # gradio says that it was left
        visit.page.get_by_label(menu).first.click()
        visit.page.keyboard.press(key)
        visit.page.locator("h1").first.click()
    visit.page.wait_for_timeout(600)  # a fit would have begun
    assert chosen() == before and visit.maps() == maps and visit.page.evaluate("location.search") == address
    visit.told("PaDiM has judged")


def test_a_fit_can_be_cancelled_and_the_page_goes_on(visit: Visit) -> None:
    visit.choose("Methods", "CDO")
    visit.told("CDO on capsule")  # of which no detector is ready in weights/
    visit.page.get_by_role("button", name="Cancel").click()
    visit.told("Cancelled")
    # the status line and the panel are two parts of the page, and the second may arrive a moment later
    visit.until("() => document.querySelector('.cards')?.innerText.includes('cancelled')")
    assert list(visit.maps()) == ["padim"]
    before = visit.maps()
    visit.page.locator(".thumb[aria-current=false]").nth(9).click()
    visit.until("old => document.querySelector('.done .anomaly-map').toDataURL() != old", before["padim"])
    visit.remove("CDO")
    visit.told("PaDiM has judged")


def test_an_address_opens_its_view(browser: Any, address: str) -> None:
    query = "?tab=compare&set=samples&category=washer&methods=padim,patchcore&image=rust-002&threshold=2.5&look=1.25"
    seen = Visit(browser, address + query, viewport={"width": 1280, "height": 1000})
    seen.finished(2)
    assert list(seen.maps()) == ["padim", "patchcore"]
    assert seen.page.locator(".source figcaption").inner_text() == "rust 2"
    grips = [seen.card("padim").locator(f".grip.{which}").get_attribute("aria-valuenow") for which in ("bad", "look")]
    assert [float(value) for value in grips] == [2.5, 1.25]
    seen.page.wait_for_function("query => location.search === query", arg=query)
    assert not seen.complaints
    seen.page.close()
