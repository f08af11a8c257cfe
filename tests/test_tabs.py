"""The tabs *Papers and ours* and *The field*: what stands in them, and a browser that walks over their tables."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import jinja2
import markupsafe
import pytest
from pages import Visit, serve
from test_ablate import row

from lab import METHODS
from lab.bench import study_files
from lab.papers import paper_tables, survey
from lab.ui.field import tab
from lab.ui.field.tab import Field
from lab.ui.html.render import render, with_code, with_symbols
from lab.ui.html.tables import Cell, Download, Table, board
from lab.ui.papers.tab import Papers, choices, choose, show

FULL, OFF = {0: 0.90, 1: 0.94, 2: 0.98}, {0: 0.88, 1: 0.90, 2: 0.92}  # deltas 0.02, 0.04, 0.06: agrees
WORSE = {0: 0.95, 1: 0.98, 2: 1.00}  # oom off: deltas -0.05, -0.04, -0.02: disagrees


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of CDO by hand, in place of the committed ones."""
    monkeypatch.setattr(study_files, "STUDIES", tmp_path)
    rows = [row("full", s, pixel_auroc=v) for s, v in FULL.items()]
    rows += [row("mom off", s, pixel_auroc=v) for s, v in OFF.items()]
    rows += [row("oom off", s, pixel_auroc=v) for s, v in WORSE.items()]
    study_files.write_studies(study_files.gather_studies(rows), tmp_path / "cdo.json")
    return tmp_path


def provenance(shown: str, cell: str) -> dict[str, str]:
    """What a chosen cell says, read as the page's script reads it."""
    origins = json.loads(html.unescape(re.findall(r'data-origins="([^"]*)"', shown)[0]))
    number, facts = re.findall(rf'data-origin="(\d+)" data-facts="([^"]*)">{re.escape(cell)}</button>', shown)[0]
    return dict(json.loads(html.unescape(facts)) + origins[int(number)])


def download(shown: str, name: str) -> list[dict[str, str]]:
    data = re.findall(rf'download="{name}\.csv" href="data:text/csv;base64,([^"]*)"', shown)[0]
    return list(csv.DictReader(io.StringIO(base64.b64decode(data).decode())))


# --- tables ---------------------------------------------------------------------------------------------------------


def test_every_value_is_escaped_and_what_a_template_made_is_not() -> None:
    evil, facts = "<script>'\"&", (("from", '<i>"'),)
    cells = [[evil, Cell(evil, (("set", evil),), 0, "mark"), evil]]
    shown = board([Table(evil, [evil, "a", "b"], cells, Download(evil, ["x"], [[evil]]))], {facts: 0}, evil)
    assert "<script>" not in shown and "<i>" not in shown and "<table>" in shown
    assert provenance(shown, markupsafe.escape(evil)) == {"set": evil, "from": '<i>"'}
    assert re.findall('data-address="([^"]*)"', shown) == [str(markupsafe.escape(evil))]
    with pytest.raises(jinja2.UndefinedError):
        render("html/download.html", name="a")


def test_code_and_symbols_are_marked_up_and_all_else_is_escaped() -> None:
    assert with_code("`a<b` & c") == "<code>a&lt;b</code> &amp; c"
    assert with_symbols("mu_n, F_t^l < `x`") == ("μ<sub>n</sub>, F<sub>t</sub><sup>l</sup> &lt; <code>x</code>")


# --- papers and ours ----------------------------------------------------------------------------------------------


def test_ours_stands_beside_the_papers_and_says_where_it_comes_from(measured: Path) -> None:
    shown = show("cdo/IV")
    assert "2 measured directions that the paper names: 1 ✓ agrees, 1 ✗ disagrees." in shown
    facts = provenance(shown, "+0.0400 ± 0.0200")
    assert facts["paper"] == "0.9825 full, 0.9788 with mom off: +0.0037; Table IV, MVTec AD"
    assert facts["seed 2"] == "0.9800 full, 0.9200 with mom off: +0.0600"
    assert facts["weights"] == f"embedded, sha256 {'e' * 64}" and facts["command"] == "python -m lab bench"
    assert facts["data"] == "mvtec/bottle: 9 training images" and facts["date"] == "2026-11-23"
    assert facts["settings"].startswith("preset live") and provenance(shown, "✗ disagrees")["seed 0"].endswith(
        "-0.0500"
    )
    lines = {line["off"]: line for line in download(shown, "cdo-IV-ours")}
    assert lines["mom off"]["mark"] == "agrees" and float(lines["mom off"]["ours"]) == pytest.approx(0.04)
    assert float(lines["oom off"]["paper delta"]) == pytest.approx(0.0031) and lines["oom off"]["weights"].endswith(
        "eee"
    )


def test_the_paper_is_as_printed_with_its_misprints(measured: Path) -> None:
    shown = show("rb_ae/V")
    facts = provenance(shown, "84.35")
    assert facts["printed"] == "84.35 in row “D (pixel gap)”, column “P-AUROC”" and facts["set"] == "MVTec AD wood"
    assert "Nothing was measured yet of RB-AE" in shown and "--ablate rb_ae" in shown
    assert "typos or a subset" in show("rb_ae/I")  # a note on misprints
    assert "✓" in shown and download(shown, "rb_ae-V-printed")[0]["P-AUROC"] == "97.64"
    pairs = show("smcc/VI")
    assert "97.5 / 94.7</button>" in pairs and download(pairs, "smcc-VI-printed")[0]["SPADE"] == "97.5 / 94.7"


def test_a_table_that_ours_says_nothing_of_points_to_the_one_it_does(measured: Path) -> None:
    shown = show("cdo/I")
    assert "stands below, and beside Table IV." in shown and "98.22" in shown
    assert provenance(shown, "0.9400 ± 0.0400")["seed 1"] == "0.9400"  # the full setting, as it is


@pytest.mark.parametrize("paper", paper_tables.load_tables()["tables"])
def test_every_table_is_shown_without_a_measurement(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_files, "STUDIES", tmp_path)
    for _, name in choices(paper):
        table = paper_tables.load_tables()["tables"][paper][name.partition("/")[2]]
        shown = show(name)
        assert shown.count("<tr>") == 1 + len(table["rows"])
        assert ("Nothing was measured yet" in shown) == (paper in METHODS)
    with pytest.raises(gr.Error, match="no table"):
        show(f"{paper}/none")


def test_a_file_that_is_no_study_is_a_sentence(measured: Path) -> None:
    (measured / "a.json").write_text("{}")
    (measured / "b.json").write_text("cut off")
    assert "is no ablation.json" in show("cdo/IV") and "98.25" in show("cdo/IV")


def test_a_mean_over_categories_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for category, shift in (("bottle", 0.02), ("cable", 0.04)):
        for seed in (0, 1):
            rows += [row("full", seed, category, aupro=0.8), row("oom off", seed, category, aupro=0.8 - shift)]
    study_files.write_studies(study_files.gather_studies(rows), tmp_path / "cdo.json")
    monkeypatch.setattr(study_files, "STUDIES", tmp_path)
    shown = show("cdo/IV")
    facts = provenance(shown, "+0.0300 ± 0.0000")
    assert facts["mean over"] == "bottle, cable" and facts["seed 1"] == "+0.0300"
    assert facts["data"].count("training images") == 2 and shown.index(">mvtec, mean of 2<") < shown.index(
        ">mvtec/cable<"
    )


def test_a_paper_opens_at_its_ablation() -> None:
    assert [choose(paper)["value"] for paper in ("smcc", "local_occ", "survey")] == [
        "smcc/IV",
        "local_occ/1",
        "survey/8",
    ]


# --- the field ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stands_in_the_field(name: str) -> None:
    method = METHODS[name]
    assert method.family in survey.FAMILIES and set(survey.FAMILIES["data augmentation"].parts) <= set(METHODS)
    assert 30 < len(method.fails()) <= 120 and "Differs" not in method.fails()
    symbols = method.symbols()
    assert len(symbols) >= 3 and all(symbol and name for symbol, name, _ in symbols)
    shown = html.unescape(tab.overview())
    assert method.fails() in shown and method.paper in shown


def test_symbol_cards_are_drawn_from_the_heads_of_the_files() -> None:
    assert METHODS["cdo"].symbols()[3] == (
        "d_l(p)", "discrepancy, squared distance of the unit features", "(B, S/4, S/4) in [0, 4]"
    )  # fmt: skip
    assert METHODS["rb_ae"].symbols()[6] == ("t", "attn_scale, sharpness of the attention", "")
    cards = tab.overview()
    assert "<i>d<sub>l</sub>(p)</i>" in cards and "<i>μ<sub>n</sub>, μ<sub>s</sub></i>" in cards
    assert "attn_scale" in cards and "<i>F<sub>t</sub><sup>l</sup></i>" in cards


def test_the_survey_and_the_archives_may_disagree_on_a_sets_size() -> None:
    lines = {line["set"]: line for line in download(tab.overview(), "sets")}
    assert list(lines) == list(survey.SETS) and all(line["licence"] for line in lines.values())
    assert lines["MVTec AD"]["official archive"] == "5,354 in 15 categories" == f"{3629 + 1725:,} in 15 categories"
    assert (lines["BTAD"]["says the survey"], lines["BTAD"]["official archive"]) == (
        "2,830 images of 3 products", "2,540 in 3 categories",
    )  # fmt: skip
    assert "CC BY-NC-SA 4.0" in lines["MVTec AD"]["licence"] and "CC BY-NC-SA 4.0" in tab.overview()


def test_the_figure_trades_one_error_for_the_other() -> None:
    low, high = (
        tuple(map(int, counts)) for counts in re.findall(r"(\d+) of 200 are missed and (\d+) of 200", tab.question())
    )
    assert low[0] < high[0] and low[1] > high[1]
    assert len(tab.trade_off().data) >= 2


# --- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def served(measured: Path) -> Iterator[tuple[str, gr.Blocks]]:
    with gr.Blocks(analytics_enabled=False) as blocks:
        with gr.Tabs():
            with gr.Tab("Papers and ours", id="papers"):
                tab = Papers()
            with gr.Tab("The field", id="field"):
                Field()
        tab.load(blocks)
    with serve(blocks) as address:
        yield address, blocks


def test_tables_sort_tell_and_are_walked_with_the_keyboard(browser: Any, served: tuple[str, gr.Blocks]) -> None:
    address, blocks = served
    endpoint = blocks.get_api_info()["named_endpoints"]["/papers_table"]
    assert "cdo/IV" in endpoint["parameters"][0]["type"]["enum"] and "as printed" in endpoint["description"]
    visit = Visit(browser, f"{address}?tab=papers&table=smcc/VII", viewport={"width": 390, "height": 800})
    opened = visit.page
    opened.get_by_role("heading", name="SMCC, Table VII").wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390 and "table=smcc/VII" in opened.url

    first = lambda: opened.locator("tbody th").first.inner_text()
    assert first() == "SPADE (WRN50)"
    opened.get_by_role("button", name="memory_M").click()  # numbers, not words: 344 < 1400
    assert first() == "SMCC (WRN50)"
    opened.get_by_role("button", name="memory_M").click()
    assert first() == "PaDiM (WRN50)"

    opened.keyboard.press("Tab")
    while not opened.evaluate("document.activeElement.matches('td button')"):
        opened.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowRight"):
        opened.keyboard.press(key)
    assert opened.locator(".origin").inner_text().find("1400 in row “SPADE (WRN50)”, column “memory_M”") > 0
    opened.keyboard.press("Escape")
    assert not opened.locator(".origin").is_visible()

    opened.get_by_role("radio", name="CDO").check()
    opened.get_by_role("heading", name="Ours, beside Table IV").wait_for()
    opened.get_by_role("button", name="✗ disagrees").click()
    assert "sha256 eee" in opened.locator(".origin").inner_text() and opened.url.endswith("table=cdo/IV")
    with opened.expect_download() as file:
        opened.get_by_role("link", name="Download as CSV").first.click()
    assert file.value.suggested_filename == "cdo-IV-printed.csv"

    opened.get_by_role("tab", name="The field").click()
    opened.locator(".js-plotly-plot .main-svg").first.wait_for()
    opened.get_by_text("FastFlow", exact=True).last.click()
    assert opened.get_by_text("log-determinant").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390 and opened.url.endswith("tab=field")
    assert not visit.complaints
    assert not visit.abroad(address)
    opened.close()
