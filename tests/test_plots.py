"""Figures and overlays: what they show is checked as numbers, colours and words."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from lab import plots
from lab.errors import LabError


def two_sides(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(50, 100)), rng.normal(3, 2, size=700)


def traces(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data}


def test_each_distribution_sums_to_all_its_pixels_and_overlap_is_their_minimum() -> None:
    normal, abnormal = two_sides()
    drawn = traces(plots.distributions(np.append(normal, 1e6), np.append(abnormal, [500, 900])))
    assert list(drawn) == ["normal", "anomalous", "in both"]
    share = {name: np.square(trace.y) for name, trace in drawn.items()}
    assert share["normal"].sum() == pytest.approx(100)
    assert share["anomalous"].sum() == pytest.approx(100)
    assert np.allclose(share["in both"], np.minimum(share["normal"], share["anomalous"]))
    low, high = drawn["normal"].x[0], drawn["normal"].x[-3]
    assert low < -3 and 5 < high < 31  # one absurd pixel neither stretches the axis ...
    assert share["normal"][-2] == pytest.approx(100 / 5001)  # ... nor is lost: it stands in the last bar
    assert f"above {high:.3g} σ" in drawn["normal"].text[-2]


def test_a_histogram_puts_the_pixels_where_they_are() -> None:
    drawn = traces(plots.distributions([0.5, 0.5, -7.0, 9.5], [9.5], span=(0, 12)))  # -7 joins the first bar
    x, y = np.array(drawn["normal"].x), np.square(drawn["normal"].y)
    at = np.searchsorted(x, [0.5, 9.5], side="right") - 1
    assert y[at] == pytest.approx([75, 25]) and y.sum() == pytest.approx(100)


def test_thresholds_are_lines_with_names_within_the_axis() -> None:
    figure = plots.distributions(*two_sides(), thresholds={"bad": 40.0, "look": 3.1}, margin=1.894, overlap=0.2)
    assert [shape.x0 for shape in figure.layout.shapes] == [3.1, 40.0]
    words = [note.text for note in figure.layout.annotations]
    assert words[:2] == ["look 3.1 σ", "bad 40 σ"]
    low, high = figure.layout.xaxis.range
    assert low < 3.1 and high > 40
    assert len({note.y for note in figure.layout.annotations[:2]}) == 2  # never on top of each other
    assert "margin 1.89 · overlap 0.20" in figure.to_json()


@pytest.mark.parametrize(
    ("normal", "abnormal", "names"),
    [
        ([], [], []),
        ([1.0, 2.0], [], ["normal"]),
        ([], [1.0, 2.0], ["anomalous"]),
        ([0.0] * 9, [0.0] * 4, ["normal", "anomalous", "in both"]),
        ([0.0] * 9, [7.0], ["normal", "anomalous"]),
    ],
)
def test_odd_distributions_still_make_a_figure(normal: list, abnormal: list, names: list) -> None:
    figure = plots.distributions(normal, abnormal)
    assert list(traces(figure)) == names
    low, high = figure.layout.xaxis.range
    assert np.isfinite([low, high]).all() and low < high
    assert ("no pixels" in figure.to_json()) == (not names)


def test_figures_suit_light_and_dark_pages() -> None:
    figure = plots.distributions(*two_sides(), title="<b>x")
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.width is None  # as wide as the page
    assert "&lt;b&gt;x" in figure.layout.title.text

    def luminance(colour: np.ndarray) -> float:
        linear = np.where(colour <= 0.03928, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    ink = luminance(np.array([int(plots.INK[i : i + 2], 16) / 255 for i in (1, 3, 5)]))
    assert (1 + 0.05) / (ink + 0.05) > 4 and (ink + 0.05) / (luminance(np.array([11, 15, 25]) / 255) + 0.05) > 4


def test_anomaly_maps_are_painted_on_an_absolute_scale() -> None:
    image = np.full((4, 6, 3), 100, np.uint8)
    image[0, 0] = (255, 0, 0)
    anomaly_map = np.full((4, 6), 2.0, np.float32)
    grey = plots.overlay(image, anomaly_map, low=2, high=10)
    assert (grey[1:] == 100).all() and (grey[0, 0] == round(255 * 0.299)).all()  # normal surface stays as it is
    anomaly_map[2, 3] = 6
    one = plots.overlay(image, anomaly_map, low=2, high=10)
    anomaly_map[3, 5] = 1000  # a higher peak elsewhere changes nothing
    two = plots.overlay(image, anomaly_map, low=2, high=10)
    assert two.dtype == np.uint8 and (one[:3] == two[:3]).all() and (one[2, 3] != 100).any()
    assert (two[3, 5] == plots.overlay(image, anomaly_map * 5, low=2, high=10)[3, 5]).all()
    assert (plots.overlay(image, anomaly_map, low=2, high=10, blend=0)[1:] == 100).all()
    assert two[3, 5] == pytest.approx(0.4 * 100 + 0.6 * np.array([252, 255, 164]), abs=1)  # inferno's upper end


def test_colours_grow_steadily_brighter() -> None:
    table = plots.color_table(3, 12, 15).astype(float)
    at = plots.level_values(15)
    assert (table[at <= 3, 3] == 0).all() and (np.diff(table[:, 3]) >= 0).all() and table[-1, 3] == 255
    light = table[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light[(at > 3) & (at < 12)]) > 0).all()
    assert (table[at >= 12] == table[-1]).all()


def test_levels_answer_thresholds_as_the_anomaly_map_itself() -> None:
    rng = np.random.default_rng(0)
    for top in (7.3, 20.0):
        anomaly_map = rng.normal(4, 4, size=(80, 90)).astype(np.float32)
        anomaly_map.flat[:256] = plots.level_values(top)  # right on the edges
        level = plots.to_levels(anomaly_map, top)
        assert level.dtype == np.uint8 and level.min() == 0 and level.max() == 255
        for k in range(1, 256):
            assert ((anomaly_map >= plots.level_values(top)[k]) == (level >= k)).all()
    table = plots.color_table(2, 6, 20.0)[level].astype(float)  # what a browser paints ...
    image = np.full((80, 90, 3), 90, np.uint8)
    alpha = 0.6 * table[..., 3:] / 255
    painted = 90 * (1 - alpha) + table[..., :3] * alpha
    assert np.abs(painted - plots.overlay(image, anomaly_map, low=2, high=6)).max() < 16  # ... is one level off at most


def test_outline_runs_around_the_defect_and_leaves_it_visible() -> None:
    image = np.full((60, 50, 3), 200, np.uint8)
    mask = np.zeros((60, 50), bool)
    mask[20:30, 10:15] = mask[0, 49] = True
    drawn = plots.outline(image, mask)
    line = (drawn == plots.CYAN).all(-1)
    assert line.sum() == 12 * 7 - 10 * 5 + 3 and not line[mask].any()
    assert (drawn[mask] == 200).all() and (image == 200).all()
    assert (plots.outline(image, np.zeros_like(mask)) == image).all()
    assert ((plots.outline(image, mask.astype(np.uint8), (1, 2, 3)) == (1, 2, 3)).all(-1) == line).all()


def test_wrong_sizes_and_scales_are_refused() -> None:
    image, anomaly_map = np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4))
    with pytest.raises(LabError, match=r"\(4, 5\).*\(5, 4\)"):
        plots.overlay(image, anomaly_map, low=0, high=1)
    with pytest.raises(LabError, match=r"\(4, 5\).*\(5, 4\)"):
        plots.outline(image, anomaly_map)
    with pytest.raises(LabError, match="3 to 3"):
        plots.overlay(image, anomaly_map.T, low=3, high=3)


@pytest.mark.parametrize(
    ("row", "column", "place"),
    [(0, 0, "upper left"), (9, 29, "lower right"), (5, 15, "centre"), (5, 2, "middle left"), (1, 14, "upper centre")],
)
def test_a_peak_is_located_in_words(row: int, column: int, place: str) -> None:
    anomaly_map = np.zeros((10, 30), np.float32)
    anomaly_map[row, column] = 6.1
    assert plots.peak_location(anomaly_map) == place
    assert plots.peak_location(np.zeros((10, 30))) == "" == plots.peak_location(np.zeros((0, 0)))
