"""How fast training steps, batches and tiled prediction are, beside CAREamics' and beside what the machine can do.

    python -m benchmarks.bench --peer build/peer

The peer is the ladder VAE of CAREamics, measured in turn with ours in one run; `--peer` names the folder that it was
installed into with ``pip install --no-deps --target build/peer careamics==0.3.5``. Without it only our own times are
printed. See docs/performance.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.results import FOLDER, machine
from benchmarks.speed_growth import Growth, measure_growth
from benchmarks.speed_limits import Limits, measure_limits
from benchmarks.speed_pairs import Ratio, Side, at_once, compare, measure
from benchmarks.speed_subject import BATCH_SIZE, FRAME_PX, FRAMES, PADDING_PX, PATCH_PX, TILED_SHAPE, Case
from usplit_core.errors import UserError

OURS, PEER = "benchmarks.speed_ours", "benchmarks.speed_peer"
VARIANTS = ("regular", "vanilla", "deep")
SECTIONS = ("step", "batch", "tiles", "growth", "sharing")
UNITS = {"step": "ms an image", "batch": "ms an image", "tiles": "ms a tile"}
NAMES = {"step": "training step", "batch": "batch", "tiles": "tiled prediction"}
#: Small trainings that run at once: as many as the two cores of a small machine, and more on a GPU.
SHARING = {"cpu": 2, "cuda": 4}
#: What the ratio should reach at least, by task and precision.
TARGETS = {
    ("step", "float32"): 1.5, ("step", "bfloat16"): 3.0, ("batch", "float32"): 20.0,
    ("tiles", "float32"): 4.0, ("tiles", "bfloat16"): 8.0,
}  # fmt: skip


class Row(NamedTuple):
    """One line of the table. The peer always computes in float32."""

    case: Case
    ours: Side
    peer: Side | None
    ratio: Ratio | None
    share: float | None


class Report(NamedTuple):
    """All that one call measures."""

    settings: dict[str, Any]
    limits: Limits
    rows: list[Row]
    growth: list[Growth]
    sharing: dict[int, Ratio]


def main() -> int:
    """Run the benchmark; return the exit code."""
    options = _options()
    limits = measure_limits(options.threads, options.device)
    report = Report(settings_of(options), limits, [], [], {})
    _say(f"limits: {_describe(limits)}\n")
    if "growth" in options.sections:
        _say(GROWTH_HEADER)
        for grown in measure_growth():
            report.growth.append(grown)
            _say(growth_line(grown))
    if "sharing" in options.sections:
        _say(measure_sharing(report, options))
    _say(f"\n{HEADER}")
    for case in cases(options, has_bfloat16=limits.gains_from_bfloat16):
        report.rows.append(measure_row(case, limits, options.peer, options.repeats))
        _say(line(report.rows[-1]))
        # After each row: what was measured before an interruption is kept.
        write(options.out, report)
    write(options.out, report)
    return 0


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the numbers depend on beside the machine."""
    return {
        "device": device_name(options.device), "threads": options.threads, "repeats": options.repeats,
        "batch_size": BATCH_SIZE, "patch_px": PATCH_PX, "frames": FRAMES, "frame_px": FRAME_PX,
        "tiled_shape_px": list(TILED_SHAPE), "padding_px": PADDING_PX,
    }  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", type=Path, default=None, help="folder that CAREamics was installed into")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:NUMBER")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each side that count")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=FOLDER / "bench.json")
    options = parser.parse_args()
    if options.peer is not None and not (options.peer / "careamics").is_dir():
        raise UserError(
            f"--peer {options.peer} holds no careamics: install it with "
            f"`pip install --no-deps --target {options.peer} careamics==0.3.5`"
        )
    return options


def device_name(device: str) -> str:
    """Return what kind of device it is: ``cpu``, or the name of the GPU."""
    return device if device == "cpu" else torch.cuda.get_device_name(device)


def measure_sharing(report: Report, options: argparse.Namespace) -> str:
    """Measure small trainings that run at once; return a sentence on them."""
    count = SHARING[torch.device(options.device).type]
    ratio = at_once(OURS, Case("small", "regular", "float32", 1, options.device), count, repeats=options.repeats)
    report.sharing[count] = ratio
    spread = f"{ratio.lowest:.2f} – {ratio.highest:.2f}"
    return f"\n{count} small trainings at once do {ratio.median:.2f} ({spread}) times the work of one."


def cases(options: argparse.Namespace, *, has_bfloat16: bool) -> Iterator[Case]:
    """Yield what is measured beside the peer; bfloat16 where the processor gains from it."""
    precisions = ("float32", "bfloat16") if has_bfloat16 else ("float32",)
    where = (options.threads, options.device)
    if "batch" in options.sections:
        yield Case("batch", "regular", "float32", *where)
    for variant in options.variants:
        for task in [section for section in options.sections if section in ("step", "tiles")]:
            for precision in precisions:
                yield Case(task, variant, precision, *where)


def measure_row(case: Case, limits: Limits, peer: Path | None, repeats: int) -> Row:
    """Measure one case, with the peer in turn where there is one."""
    programs = [(OURS, case)]
    if peer is not None:
        programs.append((PEER, case._replace(precision="float32")))
    ours, *others = measure(programs, repeats=repeats, peer=peer)
    theirs = others[0] if others else None
    return Row(case, ours, theirs, compare(ours, theirs) if theirs else None, share_of(ours, case, limits))


def share_of(side: Side, case: Case, limits: Limits) -> float | None:
    """Return the rate of a side over that of the machine: of convolutions, or of copying."""
    seconds = side.seconds_per_item * side.items
    if side.flops:
        return side.flops / seconds / limits.flops[case.precision]
    return side.bytes / seconds / limits.bytes if side.bytes else None


HEADER = (
    "| task | network | precision | ours | peer | ratio (lowest – highest) | target | limit | memory | error |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
GROWTH_HEADER = (
    "| growth | size | seconds | memory | times the work | the time | the memory |\n|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """Return a line of the table, of Markdown."""
    case, unit = row.case, UNITS[row.case.task]
    target = TARGETS.get((case.task, case.precision))
    cells = [
        NAMES[case.task],
        case.variant,
        case.precision,
        f"{1e3 * row.ours.seconds_per_item:.3g} {unit}",
        "–" if row.peer is None else f"{1e3 * row.peer.seconds_per_item:.3g} {unit}",
        "–" if row.ratio is None else f"{row.ratio.median:.2f} ({row.ratio.lowest:.2f} – {row.ratio.highest:.2f})",
        "–" if target is None else f"≥ {target:g}",
        "–" if row.share is None else f"{100 * row.share:.0f} %",
        "–" if row.peer is None else f"{row.ours.peak_gb:.2f} / {row.peer.peak_gb:.2f} GB",
        f"{row.ours.error:.1e}" if row.ours.error else "–",
    ]
    return f"| {' | '.join(cells)} |"


def growth_line(row: Growth) -> str:
    """Return a line of the second table."""
    times = ["–" if value is None else f"{value:.3g}" for value in (row.work, row.times, row.times_memory)]
    return f"| {row.what} | {row.size} | {row.seconds:.3g} | {row.peak_mb:.1f} MB | {' | '.join(times)} |"


def write(path: Path, report: Report) -> None:
    """Write everything measured so far, with machine, versions and settings."""
    rows = [
        {**row.case._asdict(), "ours": row.ours._asdict(), "peer": row.peer and row.peer._asdict(),
         "ratio": row.ratio and row.ratio._asdict(), "share_of_limit": row.share} for row in report.rows
    ]  # fmt: skip
    content = {
        "machine": machine(),
        "settings": report.settings,
        "limits": report.limits._asdict(),
        "rows": rows,
        "growth": [grown._asdict() for grown in report.growth],
        "sharing": {str(count): ratio._asdict() for count, ratio in report.sharing.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _describe(limits: Limits) -> str:
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in limits.flops.items())
    return f"convolutions {rates}; copying {limits.bytes / 1e9:.1f} GB/s"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
