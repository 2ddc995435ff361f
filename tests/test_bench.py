"""The benchmark says what it measured; nothing here is timed."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from benchmarks import bench, speed_growth, speed_pairs
from benchmarks.bench import Report, Row, cases, line, share_of
from benchmarks.speed_growth import Growth, grow
from benchmarks.speed_limits import Limits
from benchmarks.speed_ours import prepare
from benchmarks.speed_pairs import Ratio, Side, at_once, compare, measure
from benchmarks.speed_peer import open_package
from benchmarks.speed_profile import OTHER, kind_of, profiled, table
from benchmarks.speed_subject import VARIANTS, Case
from usplit_core.errors import UserError
from usplit_core.models import build
from usplit_core.settings import resolve

LIMITS = Limits({"float32": 100e9, "bfloat16": 200e9}, 10e9)
STEP = Case("step", "regular", "float32", 1)


def side(*seconds: float, items: int = 8, flops: float = 0.0, moved: float = 0.0) -> Side:
    return Side(items, flops, moved, seconds, 1.0)


def test_the_ratio_is_the_median_of_paired_repetitions() -> None:
    ratio = compare(side(1.0, 2.0, 4.0), side(3.0, 4.0, 4.0))
    assert ratio == (2.0, 1.0, 3.0)


def test_the_ratio_counts_images_not_repetitions() -> None:
    assert compare(side(1.0, items=8), side(1.0, items=2)).median == 4.0


def test_the_share_of_the_limit_is_that_of_the_precision() -> None:
    half = STEP._replace(precision="bfloat16")
    assert share_of(side(2.0, flops=100e9), STEP, LIMITS) == pytest.approx(0.5)
    assert share_of(side(2.0, flops=100e9), half, LIMITS) == pytest.approx(0.25)
    assert share_of(side(2.0, moved=2e9), STEP, LIMITS) == pytest.approx(0.1)
    assert share_of(side(2.0), STEP, LIMITS) is None


def test_bfloat16_is_measured_where_the_processor_gains_from_it() -> None:
    def precisions(*, has_bfloat16: bool) -> set[str]:
        options = Namespace(sections=bench.SECTIONS, variants=bench.VARIANTS, threads=1, device="cpu")
        return {case.precision for case in cases(options, has_bfloat16=has_bfloat16)}

    assert precisions(has_bfloat16=True) == {"float32", "bfloat16"}
    assert precisions(has_bfloat16=False) == {"float32"}
    assert LIMITS.gains_from_bfloat16
    assert not Limits({"float32": 1.0, "bfloat16": 0.5}, 1.0).gains_from_bfloat16


def test_a_line_has_both_sides_ratio_target_share_memory_and_error() -> None:
    ours, peer = side(1.6, flops=80e9), side(4.8)
    row = Row(STEP, ours, peer, compare(ours, peer), share_of(ours, STEP, LIMITS))
    assert line(row).split(" | ") == [
        "| training step", "regular", "float32", "200 ms an image", "600 ms an image", "3.00 (3.00 – 3.00)", "≥ 1.5",
        "50 %", "1.00 / 1.00 GB", "– |",
    ]  # fmt: skip
    assert "– | – | ≥ 1.5 | – | – | – |" in line(Row(STEP, ours, None, None, None))
    assert line(Row(STEP, ours._replace(error=0.00251), None, None, None)).endswith("| 2.5e-03 |")


def test_the_file_holds_what_the_table_shows(tmp_path: Path) -> None:
    ours = side(1.0)
    row = Row(STEP, ours, ours, compare(ours, ours), None)
    report = Report({"threads": 1}, LIMITS, [row], [Growth("trials", 1, 2, 3)], {2: Ratio(1.8, 1.7, 1.9)})
    bench.write(tmp_path / "results" / "bench.json", report)
    written = json.loads((tmp_path / "results" / "bench.json").read_text("utf-8"))
    assert written["rows"][0]["variant"] == "regular"
    assert written["rows"][0]["ratio"]["median"] == 1.0
    assert written["machine"]["torch"] == torch.__version__
    assert written["limits"]["flops"] == LIMITS.flops
    assert written["growth"][0]["what"] == "trials"
    assert written["sharing"]["2"]["median"] == 1.8


def test_growth_compares_each_size_with_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_growth, "_seconds", lambda work: work())
    monkeypatch.setattr(speed_growth, "_peak_mb", lambda work: 3 * work())
    rows = list(grow("trials", (10, 40), lambda size: lambda: float(size), power=2))
    assert rows == [Growth("trials", 10, 10.0, 30.0), Growth("trials", 40, 40.0, 120.0, 16.0, 4.0, 4.0)]


def test_what_grows_is_as_large_as_it_says() -> None:
    assert speed_growth.plan(100) == 100
    record = speed_growth.record_of(400)
    assert len(record.evaluations) == 400
    assert speed_growth.draw(record) > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_sides_measure_the_same_network(variant: str) -> None:
    with torch.device("meta"):
        model = build(resolve({"data.path": "none.tif", "model.variant": variant}).model)
    assert (model.config.lc_depth, model.config.depth) == VARIANTS[variant]
    assert (model.config.filters, set(model.config.level_latent_channels)) == (64, {128})


def test_batches_count_their_images_and_bytes() -> None:
    work = prepare(Case("batch", "regular", "float32", 1))
    assert work.items == 8 * 400
    assert work.bytes == work.items * (5 + 2) * 64**2 * 4


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::convolution_backward", "convolution, backwards"),
        ("aten::_slow_conv2d_backward", "convolution, backwards"),
        ("aten::elu_", "activation"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::masked_fill_", "selecting and copying"),
        ("aten::as_strided", "allocating and viewing"),
        ("aten::addcmul", OTHER),
    ],
)
def test_operations_are_told_by_their_names(operation: str, kind: str) -> None:
    assert kind_of(operation) == kind


def test_a_profile_tells_where_the_time_of_a_work_goes() -> None:
    image, weight = torch.ones(1, 8, 64, 64), torch.ones(8, 8, 3, 3)
    seconds = profiled(lambda: [torch.nn.functional.conv2d(image, weight) for _ in range(20)])
    assert next(iter(seconds)) == "convolution"
    rows = table({"convolution": 3.0, OTHER: 1.0}).splitlines()
    assert rows[2:] == ["| convolution | 3 | 75% |", "| other arithmetic | 1 | 25% |", "| all | 4 | 100% |"]


@pytest.mark.parametrize(("seconds_of", "gain"), [(lambda count: 1.0, 3.0), (float, 1.0)])
def test_processes_at_once_are_counted_by_the_work_that_they_do_in_the_time_of_one(
    monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[int], float], gain: float
) -> None:
    monkeypatch.setattr(speed_pairs, "_start", lambda *_: nullcontext())
    monkeypatch.setattr(speed_pairs, "_answer", lambda _: {})
    monkeypatch.setattr(speed_pairs, "_clocked", lambda processes: seconds_of(len(processes)))
    assert at_once("benchmarks.speed_ours", STEP, 3, repeats=2) == (gain, gain, gain)


def test_a_process_that_fails_is_reported() -> None:
    with pytest.raises(UserError, match="ended early"):
        measure([("benchmarks.speed_ours", Case("none", "regular", "float32", 1))], repeats=1)


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed_peer.find_spec", lambda name: None)
    monkeypatch.setattr("sys.modules", dict(sys.modules))
    with pytest.raises(ModuleNotFoundError, match="careamics is not on the path"):
        open_package()
