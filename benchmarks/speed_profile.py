"""Where the time of a piece of work goes, by kind of operation.

    python -m benchmarks.speed_profile step --variant regular --precision float32
    python -m benchmarks.speed_profile context

Times of single operations hold what the profiler itself takes, which is most for small ones: what counts is how two
profiles differ. See docs/performance.md, Profiles.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed_growth import context_of
from benchmarks.speed_ours import prepare
from benchmarks.speed_subject import DTYPES, VARIANTS, Case

#: Side of the frame whose context is built, in px.
CONTEXT_FRAME_PX = 2048
#: Kind of operation, and what is part of the names of such operations, the first that fits.
KINDS = {
    "convolution, backwards": ("convolution_backward", "conv2d_backward", "conv_transpose2d_backward"),
    "convolution": ("conv",),
    "activation": ("elu", "sigmoid", "_AddGated"),
    "batch norm": ("batch_norm",),
    "selecting and copying": ("copy", "index", "gather", "cat", "pad", "clone", "fill", "zero"),
    "random numbers": ("normal", "bernoulli", "random"),
    "allocating and viewing": ("empty", "slice", "view", "strided", "split", "chunk", "select", "permute", "transpose"),
}
OTHER = "other arithmetic"


def main() -> int:
    """Print the profile of one repetition as a table of Markdown."""
    options = _options()
    torch.set_num_threads(1)
    seconds = profiled(_work(options))
    sys.stdout.write(table(seconds))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=("step", "tiles", "batch", "context"))
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="regular")
    parser.add_argument("--precision", choices=tuple(DTYPES), default="float32")
    return parser.parse_args()


def _work(options: argparse.Namespace) -> Callable[[], object]:
    if options.task == "context":
        return context_of(CONTEXT_FRAME_PX)
    return prepare(Case(options.task, options.variant, options.precision, 1)).repeat


def profiled(work: Callable[[], object]) -> dict[str, float]:
    """Return the processor seconds of each kind of operation in one repetition, the longest first."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    seconds: Counter[str] = Counter()
    for event in found.key_averages():
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    return dict(seconds.most_common())


def kind_of(operation: str) -> str:
    """Return the kind of an operation, such as ``aten::mkldnn_convolution``."""
    return next((kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), OTHER)


def table(seconds: Mapping[str, float]) -> str:
    """Return seconds by kind as a table of Markdown, with their share and their sum."""
    total = sum(seconds.values())
    rows = [f"| {kind} | {value:.4g} | {value / total:.0%} |" for kind, value in [*seconds.items(), ("all", total)]]
    return "\n".join(["| operations | seconds | share |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
