"""Manners of all five tabs: nothing moves once it is there, nothing is asked of others, everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from pages import Visit, serve, tiny, washers

from lab import image_files, ui

SCREENSHOTS = ROOT / "tests" / "screenshots"
PLACE = ("samples", "washer")
START = ui.View(*PLACE, (ui.Variant("patchcore"), ui.Variant("padim")), "test/missing_tooth/001")
APART = ui.Question(*PLACE, ui.Variant.of("cdo", {"oom": False}), "test/missing_tooth/001")
TABS = ("compare", "take-apart", "yours", "papers", "field")
SHIFTS = """
  window.shifts = [];
  new PerformanceObserver(list => window.shifts.push(...list.getEntries().filter(e => !e.hadRecentInput).map(e => ({
    at: e.startTime, value: e.value, of: e.sources.map(s => s.node?.outerHTML?.slice(0, 120)),
  })))).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole page on a few small washers."""
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, size=128)
        service = washers(tmp_path_factory.mktemp("cache"))
        with serve(ui.build(service, START, APART)) as url:
            yield url


def filled(visit: Visit, tab: str) -> None:
    """The first view of a tab is there, to its last thumbnail."""
    if tab in ("compare", "take-apart"):
        mine = f".live[data-tab={tab}]"
        visit.until(f"() => document.querySelector('{mine}')?.offsetParent")
        drawn = f"[...document.querySelectorAll('{mine} .thumb img')].filter(image => image.naturalWidth > 1)"
        visit.until(f"() => {drawn}.length == 12")
    if tab == "compare":
        visit.finished(2)
        visit.until("() => !document.querySelector('.thumb.open')")
    if tab == "take-apart":
        visit.told("Run fits")
    if tab == "yours":
        visit.page.get_by_text("Nothing here yet").wait_for()
        visit.page.get_by_label("3 · Method").wait_for()  # parts of gradio come one by one, this and those below last
        visit.until("() => document.querySelectorAll('#yours input[type=file]').length == 3")
    if tab == "papers":
        visit.page.get_by_role("heading", name="CDO, Table IV").wait_for()
    if tab == "field":
        visit.page.locator(".js-plotly-plot .main-svg").first.wait_for()


CUT = """() => [...document.querySelectorAll("input[role=combobox]")]
  .filter(box => box.offsetParent && box.value && box.scrollWidth > 2 * box.clientWidth).map(box => box.value)"""
"""choices of which less than half is seen"""


@pytest.mark.parametrize("tab", TABS)
def test_nothing_moves_once_it_is_there(browser: Any, address: str, tab: str) -> None:
    seen = Visit(browser, f"{address}?tab={tab}", SHIFTS, viewport={"width": 1280, "height": 900})
    filled(seen, tab)
    then = seen.page.evaluate("performance.now()")
    seen.until("then => performance.now() > then + 1500", then)
    shifts = seen.page.evaluate("window.shifts")
    assert not [shift for shift in shifts if shift["at"] > then]
    assert not seen.complaints and not seen.abroad(address)
    seen.page.close()


def test_tabs_have_addresses_and_steps_of_the_history(browser: Any, address: str) -> None:
    seen = Visit(browser, address, viewport={"width": 1280, "height": 900})
    filled(seen, "compare")
    seen.until("() => location.search.includes('tab=compare&set=samples')")
    compare = seen.page.evaluate("location.search")
    for tab in ("yours", "field"):
        seen.page.get_by_role("tab", name=ui.TABS[tab]).click()
        seen.until("tab => location.search == `?tab=${tab}`", tab)
    on = lambda tab: seen.page.get_by_role("tab", name=ui.TABS[tab], selected=True).wait_for()
    seen.page.go_back()
    on("yours")
    seen.page.go_back()
    on("compare")
    filled(seen, "compare")
    assert seen.page.evaluate("location.search") == compare
    seen.page.go_forward()
    on("yours")
    assert seen.page.evaluate("location.search") == "?tab=yours" and not seen.complaints
    seen.page.close()


@pytest.fixture(scope="module")
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """One visit, which the tests below continue from tab to tab."""
    seen = Visit(browser, address, viewport={"width": 1280, "height": 900})
    yield seen
    seen.page.close()


def compared(visit: Visit, folder: Path) -> None:
    filled(visit, "compare")


def taken_apart(visit: Visit, folder: Path) -> None:
    filled(visit, "take-apart")
    visit.page.get_by_role("button", name="Run", exact=True).locator("visible=true").click()
    visit.page.get_by_role("heading", name="What it changes").wait_for()
    visit.until("() => document.querySelectorAll('.live[data-tab=take-apart] .area.shared').length == 2")


def answered(visit: Visit, folder: Path) -> None:
    washer = washers(folder).datasets.get(PLACE)
    assert washer
    for item in (*washer.train[:10], *[item for item in washer.test if item.bad][:3]):
        image_files.write_png(folder / f"{item.defect}-{item.name[-3:]}.png", item.image())
    for number, pattern in enumerate(("good-*.png", "[!g]*-*.png")):
        visit.give(number, folder.glob(pattern))
    visit.told("Data check of 10")
    visit.page.get_by_role("button", name="Get answers").click()
    visit.told("has learned from 10")
    visit.page.get_by_role("button", name="Why this spot?").click()
    visit.page.locator("#yours .near figure").first.wait_for()
    visit.page.get_by_role("button", name="Try it", exact=True).click()
    visit.until("() => document.querySelectorAll('#yours .near').length == 2")
    visit.until("() => !document.querySelector('#yours .strip .thumb.open')")


def provenance(visit: Visit, folder: Path) -> None:
    filled(visit, "papers")
    visit.page.locator(".mark button").locator("visible=true").first.click()


def unfolded(visit: Visit, folder: Path) -> None:
    filled(visit, "field")
    visit.page.locator("summary", has_text="CDO").locator("visible=true").click()


@pytest.mark.parametrize(("name", "fill"), [
    ("Compare", compared), ("Take apart", taken_apart), ("Your images", answered), ("Papers and ours", provenance),
    ("The field", unfolded),
])  # fmt: skip
def test_everybody_can_use_it(visit: Visit, address: str, tmp_path: Path, name: str, fill: Any) -> None:
    """axe finds nothing serious, in light and in dark; nothing leaves a narrow screen; screenshots are for eyes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit.page
    page.get_by_role("tab", name=name).click()
    fill(visit, tmp_path)
    SCREENSHOTS.mkdir(exist_ok=True)
    faults = []
    for mode, width, dark in (("desktop", 1280, False), ("dark", 1280, True), ("phone", 390, False)):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.mouse.move(0, 0)
        page.evaluate("() => Promise.all(document.getAnimations().map(one => one.finished.catch(() => 0)))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        page.screenshot(path=SCREENSHOTS / f"{name.lower().replace(' ', '-')}-{mode}.png", full_page=True)
        for fault in axe.Axe().run(page).response["violations"]:
            for node in fault["nodes"]:
                message = (node["any"] + node["all"] + node["none"])[0]["message"]
                faults.append(f"{mode}: {fault['impact']}, {fault['id']}: {node['target']} {message}")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert not [line for line in faults if ": serious" in line or ": critical" in line], "\n".join(faults)
    assert not visit.complaints and not visit.abroad(address)
