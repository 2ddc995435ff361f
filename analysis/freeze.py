"""Writes a study into one Parquet file, from which every figure, table and report can be drawn again.

The layout, which `analysis.frozen` reads back:

- The metadata of the schema hold the study's description (``usplit.study``, JSON), the version of the layout
  (``usplit.format``) and of the program, and the overview of a frame where there is one.
- A row of ``kind`` *trial* or *evaluation* is a run: a typed column for each setting (``model.lc_depth``) and for each
  metric (``test/psnr_db``), then nested columns: ``history`` (trials), ``frames`` and ``sample`` (evaluations).
  A setting whose values have several types is JSON text; the metadata of its column say so.
- A row of kind *array* is an array by the digest of its content, as dtype, shape and bytes. Samples name the arrays
  that they consist of, so what many of them share, such as the target, is stored once.

The bytes depend on nothing but the record: the same study gives the same file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import usplit_core
from analysis.figures.overview import Overview
from analysis.records import Evaluation, Sample, StudyRecord, Trial
from usplit_core.errors import OutputError
from usplit_core.settings import Setting

#: Raised when the layout changes; the reader refuses what it does not know.
FORMAT = "1"

_SERIES = pa.list_(pa.struct({"metric": pa.string(), "step": pa.list_(pa.int64()), "value": pa.list_(pa.float64())}))
_FRAMES = pa.list_(
    pa.struct({
        "metric": pa.string(),
        "frame": pa.list_(pa.int32()),
        "channel": pa.list_(pa.int32()),
        "value": pa.list_(pa.float64()),
    })
)  # fmt: skip
_SAMPLE = pa.struct({
    **dict.fromkeys(("input", "prediction", "target", "calibration"), pa.string()),
    "channels": pa.list_(pa.string()),
})  # fmt: skip
_RUN = {
    "kind": pa.string(), "trial": pa.string(), "run_id": pa.string(), "cell": pa.string(), "state": pa.string(),
    "reason": pa.string(), "started": pa.float64(), "tags": pa.map_(pa.string(), pa.string()),
    "history": _SERIES, "frames": _FRAMES, "sample": _SAMPLE,
}  # fmt: skip
_ARRAY = {"digest": pa.string(), "dtype": pa.string(), "shape": pa.list_(pa.int64()), "data": pa.binary()}
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_RUNS_A_GROUP = 1000
_BYTES_A_GROUP = 2**24


def write_frozen(record: StudyRecord, path: Path, overview: Overview | None = None) -> None:
    """Write all that the store holds of a study into one file, whole or not at all.

    Parameters
    ----------
    record
        The study; histories, scores of frames and samples are fetched while the file is written.
    path
        The Parquet file; its folder is made if need be, a file that lies there is replaced.
    overview
        The whole frame that the best model has split, where there is one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(record, unfinished, overview)
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}): name a file that you may write") from error
    finally:
        if unfinished.is_file():
            unfinished.unlink()


def _write(record: StudyRecord, path: Path, overview: Overview | None) -> None:
    arrays = _Arrays()
    shown = None if overview is None else _overview(overview, arrays)
    fields = [*_settings_of(record), *_metrics_of(record)]
    schema = pa.schema(
        [*(pa.field(name, kind) for name, kind in _RUN.items()), *fields,
         *(pa.field(name, kind) for name, kind in _ARRAY.items())],
        metadata={
            "usplit.format": FORMAT, "usplit.version": usplit_core.__version__, "usplit.overview": json.dumps(shown),
            "usplit.study": json.dumps(dict(record.plan), sort_keys=False),
        },
    )  # fmt: skip
    plain = [name for name in schema.names if name != "data"]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=plain, write_statistics=plain) as writer:
        for rows in _chunks(_rows(record, fields, arrays)):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        for rows in arrays.groups():
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


class _Arrays:
    """Arrays by the digest of their content, in the order in which they came."""

    def __init__(self) -> None:
        self._found: dict[str, NDArray[Any]] = {}

    def add(self, array: NDArray[Any] | None) -> str | None:
        if array is None:
            return None
        array = np.ascontiguousarray(array)
        content = hashlib.blake2b(f"{array.dtype.str} {array.shape} ".encode(), digest_size=16)
        content.update(array.tobytes())
        self._found.setdefault(content.hexdigest(), array)
        return content.hexdigest()

    def groups(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows, a few arrays a row group so that a reader need not load all of them."""
        rows: list[dict[str, Any]] = []
        for digest, array in self._found.items():
            rows.append({
                "kind": "array", "digest": digest, "dtype": array.dtype.str, "shape": list(array.shape),
                "data": array.tobytes(),
            })  # fmt: skip
            if sum(len(row["data"]) for row in rows) >= _BYTES_A_GROUP:
                yield rows
                rows = []
        if rows:
            yield rows


def _overview(overview: Overview, arrays: _Arrays) -> dict[str, Any]:
    names = ("input", "prediction", "target")
    texts = {name: value for name, value in overview._asdict().items() if name not in names}
    return {**texts, **{name: arrays.add(getattr(overview, name)) for name in names}}


def _settings_of(record: StudyRecord) -> list[pa.Field]:
    rows: list[Trial | Evaluation] = [*record.trials, *record.evaluations]
    names = dict.fromkeys(name for row in rows for name in row.settings)
    return [_setting_field(name, [row.settings.get(name, ...) for row in rows]) for name in names]


def _setting_field(name: str, values: list[Any]) -> pa.Field:
    """Return a column of one type, where null is None; else of JSON texts, where null is no setting at all."""
    kinds = {type(value) for value in values if value is not None}
    if ... not in values and len(kinds) == 1 and kinds <= _TYPES.keys():
        return pa.field(name, _TYPES[kinds.pop()], metadata={"role": "setting", "encoding": "plain"})
    return pa.field(name, pa.string(), metadata={"role": "setting", "encoding": "json"})


def _metrics_of(record: StudyRecord) -> list[pa.Field]:
    rows: list[Trial | Evaluation] = [*record.trials, *record.evaluations]
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return [pa.field(name, pa.float64(), metadata={"role": "metric"}) for name in names]


def _rows(record: StudyRecord, fields: list[pa.Field], arrays: _Arrays) -> Iterator[dict[str, Any]]:
    encoded = {field.name for field in fields if field.metadata.get(b"encoding") == b"json"}
    for trial in record.trials:
        yield {**_encoded(trial.settings, encoded), **trial.metrics, **_trial(trial)}
    for row in record.evaluations:
        yield {**_encoded(row.settings, encoded), **row.metrics, **_evaluation(row, arrays)}


def _encoded(settings: Mapping[str, Setting], names: set[str]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in names else value for name, value in settings.items()}


def _trial(trial: Trial) -> dict[str, Any]:
    histories = {name: trial.history(name) for name in trial.metrics}
    return {
        "kind": "trial", "trial": trial.fingerprint, "run_id": trial.run_id, "cell": trial.cell, "state": trial.state,
        "reason": trial.reason, "started": trial.started, "tags": list(trial.tags.items()),
        "history": [
            {"metric": name, "step": [point.step for point in points], "value": [point.value for point in points]}
            for name, points in histories.items()
        ],
    }  # fmt: skip


def _evaluation(row: Evaluation, arrays: _Arrays) -> dict[str, Any]:
    sample = row.sample()
    return {
        "kind": "evaluation", "trial": row.trial, "run_id": row.run_id, "frames": _frames(row),
        "sample": None if sample is None else _sample(sample, arrays),
    }  # fmt: skip


def _frames(row: Evaluation) -> list[dict[str, Any]]:
    scores = row.frames()
    names = dict.fromkeys(name for score in scores for name in score.scores)
    return [
        {
            "metric": name,
            "frame": [score.frame for score in scores if name in score.scores],
            "channel": [score.channel for score in scores if name in score.scores],
            "value": [score.scores[name] for score in scores if name in score.scores],
        }
        for name in names
    ]


def _sample(sample: Sample, arrays: _Arrays) -> dict[str, Any]:
    names = ("input", "prediction", "target", "calibration")
    return {**{name: arrays.add(getattr(sample, name)) for name in names}, "channels": list(sample.channels)}


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _RUNS_A_GROUP:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
