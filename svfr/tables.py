"""Arrow schemas of every manifest, and the only way to read and write them.

A table is sorted by its identity columns before it is written, so its bytes do not depend on the order in which
workers finished. Reading checks the schema, so a stage never meets a column it does not expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from svfr.artifacts import atomic_write
from svfr.errors import UserError

Row = dict[str, Any]

_CHUNK, _GROUP_BYTES, _GROUP_ROWS = 8, 8 << 20, 4096  # held as Python objects and as Arrow while a table is written

_MEDIA = [("shard", pa.string()), ("offset", pa.int64()), ("size", pa.int64())]
_POINTS = pa.list_(pa.list_(pa.float32()))  # per frame, flattened x0 y0 x1 y1 ..., normalised crop coordinates

VIDEOS = pa.schema(
    [
        ("video_id", pa.string()),  # first 16 hex digits of the file's sha256, or of its digest with the region
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),  # as displayed, rotation applied
        ("height", pa.int32()),
        ("fps_num", pa.int64()),
        ("fps_den", pa.int64()),
        ("vfr", pa.bool_()),
        ("n_frames", pa.int64()),
        ("duration", pa.float64()),  # seconds
        ("rotation", pa.int32()),  # degrees
        ("codec", pa.string()),
        ("has_audio", pa.bool_()),
        ("licence", pa.string()),
        ("source_dataset", pa.string()),
        ("region", pa.list_(pa.float64())),  # x1 y1 x2 y2 in 0..1 of the upright frame: the face meant; null for any
        ("range_start", pa.float64()),  # seconds in the source of which this is a part; null for the whole
        ("range_end", pa.float64()),  # null also where the part goes on to the end
        ("fetched_at", pa.string()),  # the source's own modification time, ISO 8601 UTC: stable over re-runs
        *_MEDIA,
    ]
)

CLIPS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("video_id", pa.string()),
        *_MEDIA,
        ("sha256", pa.string()),  # of the stored media; null, like its place, for a rejected clip
        ("start_pts", pa.int64()),  # in the source stream's time base; end is inclusive
        ("end_pts", pa.int64()),
        ("duration", pa.float64()),  # seconds
        ("start_frame", pa.int64()),
        ("n_frames", pa.int32()),
        ("fps_num", pa.int64()),
        ("fps_den", pa.int64()),
        ("track_id", pa.int32()),
        ("crop_x1", pa.float64()),  # static square crop, normalised source coordinates
        ("crop_y1", pa.float64()),
        ("crop_x2", pa.float64()),
        ("crop_y2", pa.float64()),
        ("detector", pa.string()),
        ("detector_version", pa.string()),
        ("landmarker", pa.string()),
        ("face_px", pa.float64()),  # side of the crop in source pixels
        ("crop_path", pa.list_(pa.list_(pa.float32()))),  # per frame x1 y1 x2 y2 of a smoothed crop; null if static
        ("face_proportion", pa.float64()),  # mean face box area / frame area
        ("region_overlap", pa.float64()),  # share of the face inside the region that the source names, or null
        ("confidence", pa.float64()),  # mean score of the track's detections
        ("coverage", pa.float64()),  # share of the key frames in which the face was found: falls when it is covered
        ("alpha_min", pa.float64()),  # side ratio, BFVR-STC supplement; 1 is frontal
        ("alpha_max", pa.float64()),
        ("frontal", pa.float64()),  # mean margin of a frontal-face detector; below 0 it sees none
        ("motion", pa.float64()),  # share of pixels that change
        ("change", pa.float64()),  # grey levels, median over adjacent frames
        ("cuts", pa.int32()),  # scene cuts within the crop
        ("text_score", pa.float64()),  # of the surest line read on it
        ("text_share", pa.float64()),  # of the crop under surely read lines
        ("blur", pa.float64()),
        ("phash", pa.list_(pa.string())),  # perceptual hashes of three frames
        ("points5", _POINTS),
        ("points68", _POINTS),
        ("identity", pa.list_(pa.float32())),  # mean embedding of the clip's sampled frames
        ("identity_backend", pa.string()),
        ("status", pa.string()),  # kept | rejected
        ("reason", pa.string()),  # reason code of the first filter that refused it, or empty
    ]
)

SCORES = pa.schema(
    [
        ("clip_id", pa.string()),
        ("metric", pa.string()),
        ("backend", pa.string()),
        ("backend_version", pa.string()),
        ("regressor", pa.string()),
        ("frames", pa.list_(pa.int32())),
        ("scores", pa.list_(pa.float64())),
        ("mean", pa.float64()),
        ("min", pa.float64()),
        ("kept", pa.bool_()),
    ]
)

_PAIR_HEAD = [
    ("pair_id", pa.string()),
    ("clip_id", pa.string()),
    ("identity_id", pa.string()),
    ("split", pa.string()),  # train | val | test
    ("bfr", pa.bool_()),
    ("color", pa.bool_()),
    ("inpaint", pa.bool_()),
]

LATENTS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("vae_sha256", pa.string()),
        ("n_frames", pa.int32()),
        *_MEDIA,  # one safetensors file inside a tar shard
    ]
)

RESULTS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("model", pa.string()),  # the restorer's model digest, or "degraded", or a baseline's name
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("backend", pa.string()),
        ("network_sha256", pa.string()),  # empty for metrics without a network
        ("n_frames", pa.int32()),
        ("seconds", pa.float64()),  # of restoring the pair
        ("memory_mib", pa.float64()),  # that restoring it held at most; null where the system does not say
    ]
)

REJECTS = pa.schema(
    [("stage", pa.string()), ("item_id", pa.string()), ("reason", pa.string()), ("message", pa.string())]
)


def pairs_schema() -> pa.Schema:
    """The `pairs` schema: identity, split and task bits, then every field of the degradation recipe."""
    from svfr.degrade import PAIR_RECIPE_FIELDS

    taken = {name for name, _ in _PAIR_HEAD}
    return pa.schema([*_PAIR_HEAD, *[field for field in PAIR_RECIPE_FIELDS if field.name not in taken]])


_KEYS = {
    "videos": ("video_id",),
    "clips": ("video_id", "clip_id"),
    "scores": ("clip_id", "metric"),
    "pairs": ("pair_id",),
    "latents": ("clip_id",),
    "results": ("pair_id", "model", "metric"),
    "rejects": ("stage", "item_id", "reason", "message"),
}
_FIXED = {
    "videos": VIDEOS,
    "clips": CLIPS,
    "scores": SCORES,
    "latents": LATENTS,
    "results": RESULTS,
    "rejects": REJECTS,
}


def schema_of(name: str) -> pa.Schema:
    """The Arrow schema of table `name`. Raises `KeyError` for a name that is no table of this project."""
    return pairs_schema() if name == "pairs" else _FIXED[name]


class TableWriter:
    """Context manager that writes table `name` row by row, in bounded memory; the file appears when the block ends.

    Rows must come in ascending order of the table's key columns. Raises `UserError` when one does not, when it does
    not fit the schema, or when two have the same key (rejects may repeat).
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.schema, self.keys = path, name, schema_of(name), _KEYS[name]
        self._rows: list[Row] = []
        self._chunks: list[pa.Table] = []
        self._last: tuple[str, ...] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> TableWriter:
        temporary = self._stack.enter_context(atomic_write(self.path))
        self._file = self._stack.enter_context(pq.ParquetWriter(temporary, self.schema, compression="zstd"))
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends one row; columns that the table does not have are ignored."""
        key = sort_key(self.name, row)
        if self._last is not None and key <= self._last and (key < self._last or self.name != "rejects"):
            what = "two rows have the key" if key == self._last else f"after {self._last} comes the key"
            raise UserError(f"table {self.name}: {what} {key}; ids must come from content, rows in their order")
        self._last = key
        try:
            self._rows.append({column: row[column] for column in self.schema.names})
        except KeyError as error:
            raise UserError(f"table {self.name}: a row lacks the column {error}") from error
        if len(self._rows) == _CHUNK:
            self._convert()
            if sum(chunk.nbytes for chunk in self._chunks) >= _GROUP_BYTES or len(self._chunks) * _CHUNK >= _GROUP_ROWS:
                self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._convert()
                self._flush()
            except BaseException as late:
                self._stack.__exit__(type(late), late, late.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)

    def _convert(self) -> None:
        try:
            self._chunks += [pa.Table.from_pylist(self._rows, schema=self.schema)] if self._rows else []
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
            raise UserError(f"table {self.name}: a row does not fit its schema: {error}") from error
        self._rows.clear()

    def _flush(self) -> None:
        if self._chunks:
            self._file.write_table(pa.concat_tables(self._chunks).combine_chunks())
        self._chunks.clear()


def sort_key(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the key columns of table `name` in `row`: what its rows are sorted by."""
    return tuple(str(row[key]) for key in _KEYS[name])


def write_table(path: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes `rows` as table `name`, sorted by its key columns, atomically. Raises as `TableWriter` does."""
    with TableWriter(path, name) as writer:
        for row in sorted(rows, key=lambda row: sort_key(name, row)):
            writer.write(row)


def read_table(path: Path, name: str, columns: Sequence[str] | None = None) -> list[Row]:
    """Reads table `name` as a list of dicts, with all its columns or those of `columns`, in order of its keys.

    Raises `UserError` if the file is missing, damaged or of another schema.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run the stage that makes it first (dvc repro)")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a readable Parquet file ({error}): delete it and run its stage again"
        ) from error
    expected = schema_of(name)
    if not schema.equals(expected):
        odd = sorted(set(schema.names) ^ set(expected.names)) or ["column types"]
        raise UserError(f"{path} does not have the columns of table {name} ({', '.join(odd)}): run its stage again")
    try:
        return pq.read_table(path, columns=columns).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run its stage again") from error


def reject(stage: str, item_id: str, reason: str, message: str) -> Row:
    """One row of the `rejects` table."""
    return {"stage": stage, "item_id": item_id, "reason": reason, "message": message}


def check_accounted(stage: str, inputs: Sequence[str], kept: Iterable[str], rejected: Iterable[str]) -> None:
    """Asserts `inputs = kept + rejected` by id; nothing is dropped silently. Raises `AssertionError` naming the ids."""
    kept_ids, rejected_ids = set(kept), set(rejected)
    lost = sorted(set(inputs) - kept_ids - rejected_ids)
    extra = sorted((kept_ids | rejected_ids) - set(inputs))
    both = sorted(kept_ids & rejected_ids)
    if lost or extra or both:
        raise AssertionError(f"{stage}: lost {lost[:5]}, unknown {extra[:5]}, both kept and rejected {both[:5]}")
