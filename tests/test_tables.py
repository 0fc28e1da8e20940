"""Tables: equal rows give equal bytes in any order, and nothing that does not fit is written or read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.errors import UserError
from svfr.tables import (
    REJECTS,
    SCORES,
    TableWriter,
    check_accounted,
    pairs_schema,
    read_table,
    reject,
    schema_of,
    write_table,
)


def score(clip_id: str, metric: str = "piqe", mean: float = 0.5) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "metric": metric,
        "backend": "pyiqa",
        "backend_version": "1",
        "regressor": "",
        "frames": [0, 3],
        "scores": [mean, mean],
        "mean": mean,
        "min": mean,
        "kept": True,
    }


WORDS = st.text("ab0é", max_size=3)


@settings(max_examples=30, deadline=None)
@given(
    keys=st.lists(st.tuples(WORDS, WORDS), unique=True, max_size=8),
    refused=st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), max_size=8),
    data=st.data(),
)
def test_bytes_do_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory,
    keys: list[tuple[str, str]],
    refused: list[tuple[str, str, str, str]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    tables = {"scores": [score(*key) for key in keys], "rejects": [reject(*row) for row in refused]}
    for name, rows in tables.items():
        write_table(folder / "a", name, rows)
        write_table(folder / "b", name, data.draw(st.permutations(rows)))
        assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
        read = read_table(folder / "a", name)
        assert sorted(map(repr, read)) == sorted(map(repr, rows))


def test_two_rows_of_one_key_are_refused_and_the_old_table_stays(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_table(path, "scores", [score("a")])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"two rows have the key \('b', 'piqe'\)"):
        write_table(path, "scores", [score("b"), score("a"), score("b", mean=0.7)])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mean": "high"}, "does not fit its schema"),
        ({"frames": [2**40]}, "does not fit its schema"),
        ({"frames": [2**70]}, "does not fit its schema"),
        ({"backend": "caf\udce9"}, "does not fit its schema"),
        ({"mean": None, "min": ...}, "lacks the column 'min'"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    row = {name: value for name, value in (score("a") | change).items() if value is not ...}
    with pytest.raises(UserError, match=why):
        write_table(tmp_path / "scores.parquet", "scores", [row])
    assert not list(tmp_path.iterdir())


def test_a_table_of_another_schema_is_refused_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, "rejects", [reject("s", "i", "r", "m")])
    with pytest.raises(UserError, match=r"columns of table scores \(.*clip_id.*\): run its stage again"):
        read_table(path, "scores")
    index = SCORES.get_field_index("mean")
    other = SCORES.set(index, pa.field("mean", pa.float32()))
    pq.write_table(pa.Table.from_pylist([], schema=other), path)
    with pytest.raises(UserError, match="column types"):
        read_table(path, "scores")


def test_a_missing_or_damaged_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rejects.parquet"
    with pytest.raises(UserError, match="is missing: run the stage that makes it first"):
        read_table(path, "rejects")
    write_table(path, "rejects", [reject("s", str(i), "r", "m" * i) for i in range(50)])
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[:4] + bytes(len(whole) - 4), b"x" * 500):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"is not a readable Parquet file .* run its stage again") as caught:
            read_table(path, "rejects")
        assert "\n" not in str(caught.value)


def test_pairs_hold_the_whole_recipe_once() -> None:
    names = pairs_schema().names
    assert len(names) == len(set(names))
    assert {"pair_id", "clip_id", "split", "bfr", "color", "inpaint", "seed"} <= set(names)
    assert schema_of("rejects") == REJECTS
    with pytest.raises(KeyError):
        schema_of("nonsense")


def test_every_input_is_kept_or_rejected_exactly_once() -> None:
    check_accounted("s", ["a", "b", "c"], ["a"], ["b", "c", "c"])
    for kept, rejected, complaint in (
        (["a"], ["b"], r"lost \['c'\]"),
        (["a", "b", "c", "d"], [], r"unknown \['d'\]"),
        (["a", "b", "c"], ["c"], r"both kept and rejected \['c'\]"),
    ):
        with pytest.raises(AssertionError, match=complaint):
            check_accounted("s", ["a", "b", "c"], kept, rejected)


def test_a_table_written_row_by_row_is_the_one_written_at_once_and_columns_can_be_chosen(tmp_path: Path) -> None:
    rows = [score(f"{number:04d}") for number in range(600)]
    write_table(tmp_path / "once.parquet", "scores", reversed(rows))
    with TableWriter(tmp_path / "rows.parquet", "scores") as writer:
        for row in rows:
            writer.write(row)
            assert not (tmp_path / "rows.parquet").exists()
    assert (tmp_path / "rows.parquet").read_bytes() == (tmp_path / "once.parquet").read_bytes()
    some = read_table(tmp_path / "rows.parquet", "scores", ["clip_id", "mean"])
    assert some == [{"clip_id": row["clip_id"], "mean": row["mean"]} for row in rows]


def test_rows_out_of_order_or_a_failure_leave_no_table(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"

    def disorder() -> None:
        with TableWriter(path, "scores") as writer:
            writer.write(score("b"))
            writer.write(score("a"))

    def interrupt() -> None:
        with TableWriter(path, "scores") as writer:
            writer.write(score("b"))
            raise KeyboardInterrupt

    with pytest.raises(UserError, match=r"after .* comes the key"):
        disorder()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == []
