"""What is not here is offered with its licence and size, fetched on demand, and nothing else stands in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import mirrors
import pytest
import safetensors.torch
import torch
from hub_server import Hub
from mirrors import Tree, tables, visa_row
from pages import PLACE, Visit, serve, small, tiny

from lab import data
from lab.errors import Cancelled, LabError
from lab.hub import downloads
from lab.parts import features
from lab.progress import no_report
from lab.ui.compare import downloadable
from lab.ui.compare.downloadable import Downloadable, DownloadOffer
from lab.ui.compare.tab import Compare
from lab.ui.variant import Variant
from lab.ui.view import View

VISA = "BrachioLab/visa"
TAG = "resnet18.tv_in1k"
PADIM = Variant("padim")
START = View(*PLACE, (PADIM,), "test/blot/060")


@pytest.fixture(scope="module")
def tree() -> Tree:
    return mirrors.tree()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Tree) -> Iterator[Hub]:
    """A Hub with one category of VisA and one backbone, neither of which is here."""
    import timm

    monkeypatch.delenv("LAB_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    torch.manual_seed(0)
    weights = safetensors.torch.save(timm.create_model(TAG, pretrained=False).state_dict())
    with mirrors.serving(monkeypatch, tmp_path / "cache") as server:
        server.repo("datasets", VISA, tables(tree, "pcb1", visa_row))
        server.repo("models", f"timm/{TAG}", {"model.safetensors": weights}, card={"license": "bsd-3-clause"})
        yield server


def fetched(server: Hub) -> list[str]:
    return [request.path for request in server.log if "/resolve/" in request.path]


# --- what is offered ----------------------------------------------------------------------------------------------


def test_menus_say_what_would_be_downloaded(server: Hub) -> None:
    assert downloadable.sets()[0] == ("samples", "samples") and ("visa (to download)", "visa") in downloadable.sets()
    assert downloadable.categories("visa") == [("pcb1 (to download)", "pcb1")]
    assert ("washer", "washer") in downloadable.categories("samples") and downloadable.categories("/etc") == []
    assert downloadable.backbones("embedded")[:2] == [("embedded", "embedded"), (f"{TAG} (to download)", TAG)]
    Downloadable("visa", "pcb1").fetch()
    Downloadable("", TAG).fetch()
    assert ("visa", "visa") in downloadable.sets() and downloadable.categories("visa") == [("pcb1", "pcb1")]
    assert (TAG, TAG) in downloadable.backbones("embedded")
    requests = len(server.log)
    assert downloadable.missing(View("visa", "pcb1", (PADIM.on_backbone(TAG),))) is None and len(server.log) == requests


def test_licence_and_size_come_before_the_first_byte(server: Hub) -> None:
    view = View("visa", "pcb1", (PADIM.on_backbone(TAG), Variant("rb_ae")))
    want = downloadable.missing(view)
    assert want == Downloadable("visa", "pcb1", "VisA: CC BY 4.0 (Zou et al. 2022)")
    assert "CC BY 4.0" in want.offer(PLACE) and "stays samples, stripes" in want.offer(PLACE) and not server.log
    size = downloads.megabytes(sum(map(len, server.repos["datasets", VISA].files.values())))
    described = want.described()
    assert described and f"{size} to download from {VISA} at " in described.offer(PLACE)
    other = downloadable.missing(View("samples", "washer", view.variants))
    assert other == Downloadable("", TAG)
    size = downloads.megabytes(len(server.repos["models", f"timm/{TAG}"].files["model.safetensors"]))
    described = other.described()
    offer = described.offer(PLACE) if described else ""
    assert f"Licence: bsd-3-clause. {size} to download from timm/{TAG} at the Hub" in offer and not fetched(server)


def test_what_cannot_be_fetched_is_one_sentence(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.repos["datasets", VISA].gated = True
    with pytest.raises(LabError, match="is gated; ask for access"):
        Downloadable("visa", "pcb1").fetch()
    with pytest.raises(LabError, match="no such repository"):
        Downloadable("", "hrnet_w32.ms_in1k").described()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    requests = len(server.log)
    with pytest.raises(LabError, match="HF_HUB_OFFLINE"):
        Downloadable("visa", "pcb1").described()
    assert len(server.log) == requests


def test_a_download_is_cancelled_and_continued(server: Hub) -> None:
    def stop(fraction: float, message: str) -> None:
        if message.startswith("writing"):
            raise Cancelled

    with pytest.raises(Cancelled):
        Downloadable("visa", "pcb1").fetch(stop)
    assert downloadable.missing(View("visa", "pcb1", (PADIM,))) and "visa" not in data.sets()
    Downloadable("visa", "pcb1").fetch()
    assert "visa" in data.sets()


def test_asking_waits_aloud_behind_a_download_and_can_be_cancelled(server: Hub) -> None:
    holding, messages = threading.Event(), list[str]()

    def hold() -> None:
        with downloads.download_lock():
            holding.set()
            leave.wait(30)

    def report(fraction: float, message: str) -> None:
        messages.append(message)
        if message.startswith("waiting"):
            raise Cancelled

    leave, other = threading.Event(), threading.Thread(target=hold)
    other.start()
    assert holding.wait(5)
    with pytest.raises(Cancelled):
        Downloadable("visa", "pcb1").described(report)
    leave.set()
    other.join()
    assert messages == ["asking what visa, pcb1 weighs", "waiting for another download to end"]


def test_what_came_meanwhile_needs_no_offer(server: Hub) -> None:
    offer, item = DownloadOffer(), Downloadable("visa", "pcb1")
    list(offer.make(item))
    assert offer.arrived is None and offer.item and offer.item.origin
    item.fetch()
    Downloadable("", TAG).fetch()
    assert item.described() is None and Downloadable("", TAG).described() is None
    list(offer.make(item))
    assert offer.arrived is item and offer.item is None


def test_what_is_chosen_while_a_source_answers_stays_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    offer, other, slow = DownloadOffer(), Downloadable("visa", "pcb2"), Downloadable("visa", "pcb1")

    def meanwhile(item: Downloadable, report: Any = None) -> Downloadable:
        offer.item = other
        return item

    monkeypatch.setattr(Downloadable, "described", meanwhile)
    monkeypatch.setattr(Downloadable, "fetch", meanwhile)
    for job in (offer.ask, offer.fetch):
        offer.item = slow
        job(slow, no_report)
        assert offer.item is other and offer.arrived is None


def test_a_backbone_that_is_not_here_is_neither_fetched_nor_replaced(server: Hub) -> None:
    for view in (View("samples", "washer", (PADIM.on_backbone(TAG),)), START):
        with pytest.raises(LabError, match=f"The backbone {TAG} is not here"):
            view.with_query({"set": "samples", "category": "washer", "methods": "padim", "backbone": TAG})
    assert not server.log


# --- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def address(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """*Compare* alone, on small images as a category of the samples."""
    categories = data.categories
    tiny(monkeypatch, {"padim": dict(size=64)})
    monkeypatch.setattr(data, "categories", lambda s: [PLACE[1]] if s == "samples" else categories(s))
    with gr.Blocks(analytics_enabled=False, fill_width=True) as blocks:
        compare = Compare(small(tmp_path / "made"), START)
        compare.load(blocks)
    with serve(blocks) as url:
        yield url


def test_an_offer_is_taken_and_the_page_goes_on(browser: Any, address: str, server: Hub) -> None:
    visit = Visit(browser, address, viewport={"width": 1280, "height": 900})
    visit.finished(1)
    before = visit.maps()
    visit.choose("Set", "visa (to download)")
    offer = visit.page.locator("#offer")
    take = offer.get_by_role("button", name="Download ")
    take.wait_for()
    assert "VisA: CC BY 4.0" in offer.inner_text() and "stays samples, stripes" in offer.inner_text()
    assert visit.maps() == before and not fetched(server)
    visit.page.locator(".thumb[aria-current=false]").first.click()  # the page goes on with what it has
    visit.until("old => document.querySelector('.done .anomaly-map').toDataURL() != old", before["padim"])
    server.repos["datasets", VISA].gated = True
    take.click()
    visit.until("() => document.querySelector('#offer')?.innerText.includes('is gated; ask for access')")
    assert "samples, stripes" in visit.page.locator(".source").inner_text()
    server.repos["datasets", VISA].gated = False
    take.click()
    visit.until("() => document.querySelector('.source')?.innerText.includes('visa, pcb1 · VisA: CC BY 4.0')")
    visit.finished(1)
    offer.wait_for(state="hidden")
    assert list(visit.maps()) == ["padim"] and not visit.complaints

    plain = visit.maps()["padim"]
    visit.choose("Backbone", f"{TAG} (to download)")
    offer.get_by_text("Licence: bsd-3-clause").wait_for()
    assert visit.maps()["padim"] == plain
    assert not features.local_weights(TAG)
    take.click()
    visit.until("() => document.querySelector('.cards')?.innerText.includes('PaDiM on resnet18.tv_in1k')")
    visit.finished(1)
    changed = visit.maps()
    assert list(changed) == [f"padim?backbone={TAG}"] and changed[f"padim?backbone={TAG}"] != plain
    visit.until(f"() => location.search.includes('methods=padim&backbone={TAG}')")
    visit.page.goto(f"{address}?set=visa&category=pcb1&methods=padim&backbone={TAG}")
    visit.until("() => document.querySelector('.cards')?.innerText.includes('PaDiM on resnet18.tv_in1k')")
    visit.finished(1)
    assert visit.page.get_by_label("Backbone").input_value() == TAG and not visit.complaints
