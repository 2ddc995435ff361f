"""Reads a study back from the one Parquet file that `analysis.freeze` wrote: no store, no server, no trial folders."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.description import hashable, study_record
from analysis.figures.overview import Overview
from analysis.freeze import FORMAT
from analysis.records import Evaluation, FrameScore, Point, Sample, StudyRecord, Trial
from usplit_core.errors import UserError
from usplit_core.settings import Setting


class Frozen(NamedTuple):
    """What a frozen file holds."""

    record: StudyRecord
    overview: Overview | None


def is_frozen(name: str) -> bool:
    """Say whether a user names a frozen file, and not a study in a store."""
    return name.endswith(".parquet")


def read_frozen(path: Path) -> Frozen:
    """Read a frozen study; images are fetched from the file only when asked for.

    Raises
    ------
    UserError
        If there is no such file, or it is none that `usplit freeze` wrote.
    """
    file = _open(path)
    metadata = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
    if metadata.get("usplit.format") != FORMAT:
        raise UserError(
            f"{path} is no frozen study of this version (its layout is {metadata.get('usplit.format', 'unknown')}, "
            f"this version reads {FORMAT}): write it with `usplit freeze` of the version that you read it with"
        )
    table = file.read([name for name in file.schema_arrow.names if name != "data"])
    load = partial(_load, path, _places(file))
    runs = table.filter(pc.not_equal(table["kind"], "array")).drop_columns(["digest", "dtype", "shape"])
    rows = list(_rows(runs))
    record = study_record(
        json.loads(metadata["usplit.study"]),
        trials=tuple(_trial(row) for row in rows if row.run["kind"] == "trial"),
        evaluations=tuple(_evaluation(row, load) for row in rows if row.run["kind"] == "evaluation"),
        tracking_uri=str(path),
    )
    return Frozen(record, _overview(json.loads(metadata["usplit.overview"]), load))


class _Row(NamedTuple):
    """One run: its plain columns, and its nested ones as they lie in the file."""

    run: dict[str, Any]
    settings: dict[str, Setting]
    metrics: dict[str, float]
    nested: dict[str, pa.Scalar]


class _Place(NamedTuple):
    """Where an array lies."""

    group: int
    row: int


_Load = Callable[[str], NDArray[Any]]
_NESTED = ("history", "frames", "sample")


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise UserError(f"there is no file {path}: name one that `usplit freeze` wrote")
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is no Parquet file ({error}): name one that `usplit freeze` wrote") from error


def _places(file: pq.ParquetFile) -> dict[str, _Place]:
    return {
        digest: _Place(group, index)
        for group in range(file.num_row_groups)
        for index, digest in enumerate(file.read_row_group(group, ["digest"])["digest"].to_pylist())
        if digest is not None
    }


def _load(path: Path, places: dict[str, _Place], digest: str) -> NDArray[Any]:
    with pq.ParquetFile(path) as file:
        rows = file.read_row_group(places[digest].group, ["dtype", "shape", "data"])
    row = rows.slice(places[digest].row, 1)
    flat = np.frombuffer(row["data"][0].as_py(), dtype=np.dtype(row["dtype"][0].as_py()))
    return flat.reshape(row["shape"][0].as_py())


def _rows(table: pa.Table) -> Iterator[_Row]:
    roles = {field.name: (field.metadata or {}).get(b"role") for field in table.schema}
    settings = {name: _decoded(table, name) for name, role in roles.items() if role == b"setting"}
    metrics = {name: table[name].to_pylist() for name, role in roles.items() if role == b"metric"}
    run = {name: table[name].to_pylist() for name, role in roles.items() if role is None and name not in _NESTED}
    nested = {name: table[name].combine_chunks() for name in _NESTED}
    for index in range(len(table)):
        yield _Row(
            {name: values[index] for name, values in run.items()},
            {name: values[index] for name, values in settings.items() if values[index] is not ...},
            {name: values[index] for name, values in metrics.items() if values[index] is not None},
            {name: values[index] for name, values in nested.items()},
        )


def _decoded(table: pa.Table, name: str) -> list[Any]:
    """Return the values of a setting; an ellipsis where a run has none."""
    values: list[Any] = table[name].to_pylist()
    if table.schema.field(name).metadata[b"encoding"] == b"plain":
        return values
    return [... if text is None else hashable(json.loads(text)) for text in values]


def _trial(row: _Row) -> Trial:
    run = row.run
    return Trial(
        fingerprint=run["trial"],
        run_id=run["run_id"],
        cell=run["cell"],
        settings=row.settings,
        state=run["state"],
        reason=run["reason"],
        metrics=row.metrics,
        history=partial(_history, row.nested["history"]),
        started=run["started"],
        tags=dict(run["tags"]),
    )


def _evaluation(row: _Row, load: _Load) -> Evaluation:
    return Evaluation(
        trial=row.run["trial"],
        run_id=row.run["run_id"],
        settings=row.settings,
        metrics=row.metrics,
        frames=partial(_frames, row.nested["frames"]),
        sample=partial(_sample, row.nested["sample"], load),
    )


def _history(series: pa.Scalar, key: str) -> tuple[Point, ...]:
    names = series.values.field("metric").to_pylist()
    if key not in names:
        return ()
    found = series.values[names.index(key)]
    return tuple(map(Point, found["step"].as_py(), found["value"].as_py()))


def _frames(series: pa.Scalar) -> tuple[FrameScore, ...]:
    scores: dict[tuple[int, int], dict[str, float]] = {}
    for item in series.as_py():
        for frame, channel, value in zip(item["frame"], item["channel"], item["value"], strict=True):
            scores.setdefault((frame, channel), {})[item["metric"]] = value
    return tuple(FrameScore(frame, channel, values) for (frame, channel), values in scores.items())


def _sample(stored: pa.Scalar, load: _Load) -> Sample | None:
    found = stored.as_py()
    if found is None:
        return None
    calibration = found["calibration"]
    return Sample(
        input=load(found["input"]),
        prediction=load(found["prediction"]),
        target=load(found["target"]),
        channels=tuple(found["channels"]),
        calibration=None if calibration is None else load(calibration),
    )


def _overview(stored: dict[str, Any] | None, load: _Load) -> Overview | None:
    if stored is None:
        return None
    return Overview(
        input=load(stored["input"]),
        prediction=load(stored["prediction"]),
        target=load(stored["target"]),
        channels=tuple(stored["channels"]),
        test_box=cast("tuple[float, float, float, float]", tuple(stored["test_box"])),
        model=stored["model"],
    )
