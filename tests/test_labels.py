"""Labels of tables: what each rule knows, and that nothing is good for want of a rule."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from mirrors import png

from lab.data.parquet_tables import Table, agree_on_labels, read_files
from lab.hub.hub_errors import NotFound

V = datasets.Value
GREYS = [png(np.full((20, 24, 3), 20 * n, np.uint8)) for n in range(6)]


def table(tmp_path: Path, labels: dict[str, tuple[list, object]], count: int = 3, name: str = "t") -> Table:
    """A table of `count` images and columns name -> (values, type)."""
    columns = {"image": [{"bytes": GREYS[n], "path": f"{n}.png"} for n in range(count)]}
    kinds = {"image": datasets.Image()} | {column: kind for column, (_, kind) in labels.items()}
    columns |= {column: values for column, (values, _) in labels.items()}
    out = io.BytesIO()
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).to_parquet(out)
    (tmp_path / f"{name}.parquet").write_bytes(out.getvalue())
    return Table(tmp_path / f"{name}.parquet", name)


def placed(tables: list[Table], split: str = "train") -> list[str]:
    agree_on_labels(tables)
    return [file.path for file in read_files([(table, split) for table in tables], "", lambda path: b"")]


NAMES = datasets.ClassLabel(names=["good", "scratch"])


@pytest.mark.parametrize(
    ("column", "values", "kind", "bad"),
    [
        *(("label", [0, 0, 1], V(kind), "anomaly") for kind in ("int64", "uint8", "int8", "float32", "int32")),
        ("label", [False, False, True], V("bool"), "anomaly"),
        *((name, [0, 0, 1], V("int64"), "anomaly") for name in ("labels", "Label", "is anomaly", "Defective")),
        *((name, [1, 1, 0], V("int64"), "anomaly") for name in ("is_good", "OK", "normal")),
        ("status", ["OK", "OK", "NG"], V("string"), "NG"),
        ("label", ["good", "good", "deep scratch"], V("string"), "deep_scratch"),
        ("label", ["0", "0", "1"], V("string"), "anomaly"),
        ("label", [0, 0, 1], NAMES, "scratch"),
        ("label", [1, 1, 0], datasets.ClassLabel(names=["defective", "non-defective"]), "defective"),
        ("defect_type", ["good", "good", "dent"], V("string"), "dent"),
        ("anomaly_type", [0, 0, 1], NAMES, "scratch"),
        ("defect", [0, 0, 1], V("int64"), "anomaly"),
        ("defect", ["no", "no", "yes"], V("string"), "anomaly"),
        ("defect", ["0", "0", "1"], V("string"), "anomaly"),
        ("label", ["good", "good", "ok_stamp_missing"], V("string"), "ok_stamp_missing"),
    ],
)  # fmt: skip
def test_a_defective_row_is_never_among_the_good(
    column: str, values: list, kind: object, bad: str, tmp_path: Path
) -> None:
    assert placed([table(tmp_path, {column: (values, kind)})]) == ["good/0.png", "good/1.png", "bad/2.png"]
    with_test = [table(tmp_path, {column: (values, kind)})]
    assert placed(with_test, "test") == ["test/good/0.png", "test/good/1.png", f"test/{bad}/2.png"]


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("label", ["A", "A", "B"], V("string")),  # which of them is good?
        ("label", [0, 1, 2], V("int64")),
        ("label", [0.0, 0.0, float("nan")], V("float32")),
        ("label", [0, 0, None], V("int64")),
        ("label", ["good", "good", None], V("string")),
        ("label", [0, 1, 1], datasets.ClassLabel(names=["negative", "positive"])),
        ("quality", [1, 1, 0], V("int64")),  # is 1 a pass, or a defect?
        ("status", ["1", "1", "0"], V("string")),
        ("label", ["good", "unknown", "unlabeled"], V("string")),
    ],
)
def test_a_label_that_no_rule_knows_is_refused(column: str, values: list, kind: object, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=rf"^t: its row of {column} .* is known as neither good nor bad"):
        placed([table(tmp_path, {column: (values, kind)})])


def test_columns_complete_each_other_and_must_agree(tmp_path: Path) -> None:
    kinds = {"label": ([0, 0, 1], V("int64")), "defect_type": (["none", "", "scratch"], V("string"))}
    assert placed([table(tmp_path, kinds)], "test") == ["test/good/0.png", "test/good/1.png", "test/scratch/2.png"]
    parts = {"class": (["nut", "nut", "nut"], V("string")), "label": (["good", "good", "dent"], V("string"))}
    assert placed([table(tmp_path, parts)], "test")[-1] == "test/dent/2.png"
    numbers = {"class": ([0, 1, 0], V("int64")), "is_good": ([True, True, False], V("bool"))}
    assert placed([table(tmp_path, numbers)], "test")[-1] == "test/anomaly/2.png"
    contradiction = {"label": ([0, 0, 1], V("int64")), "is_good": ([True, True, True], V("bool"))}
    with pytest.raises(NotFound, match="its row of label 1, is_good True calls one image good and bad"):
        placed([table(tmp_path, contradiction)])


def test_a_column_that_may_part_good_from_bad_is_not_passed_over(tmp_path: Path) -> None:
    """Without a column of labels that is known all rows would be good."""
    grades = {"grade": (["A", "B", "A", "B", "A", "A"], V("string"))}
    with pytest.raises(NotFound, match="its columns are image, grade, none says which images are good"):
        placed([table(tmp_path, grades, 6)])
    harmless = {"file_name": ([f"{n}" for n in range(6)], V("string")), "line": (["7"] * 6, V("string"))}
    assert placed([table(tmp_path, harmless, 6)]) == [f"good/{n}.png" for n in range(6)]
    with pytest.raises(NotFound, match="none says which images are good"):
        placed([table(tmp_path, harmless, 6)], "test")


def test_one_part_of_a_set_may_name_the_good_for_all(tmp_path: Path) -> None:
    first = table(tmp_path, {"label": (["good", "good", "good"], V("string"))}, name="first")
    second = table(tmp_path, {"label": (["dent", "dent", "crack"], V("string"))}, name="second")
    files = placed([first, second])
    assert sum(path.startswith("good/") for path in files) == 3 and sum(path.startswith("bad/") for path in files) == 3
