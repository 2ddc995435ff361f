"""Every metric once: key in reports and in the store, label of its axis, unit, direction.

A key that ends in ``/N`` in the store belongs to structure channel N; the metric itself is
the mean over structure channels.
"""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One number that a run reports."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]


_METRICS = (
    # training, one value an epoch
    Metric("train/loss", "training loss", "", "lower"),
    Metric("train/reconstruction", "reconstruction loss", "nats/px", "lower"),
    Metric("train/kl", "KL divergence", "nats", "neither"),
    Metric("train/learning_rate", "learning rate", "", "neither"),
    Metric("train/gradient_norm", "gradient norm", "", "neither"),
    Metric("train/skipped_steps", "non-finite steps skipped", "steps", "lower"),
    Metric("train/collapsed_levels", "collapsed latent levels", "levels", "lower"),
    Metric("train/patches_per_second", "training throughput", "patches/s", "higher"),
    Metric("validation/loss", "validation loss", "", "lower"),
    Metric("validation/psnr_db", "validation PSNR", "dB", "higher"),
    # evaluation on test frames, one value a tiling
    Metric("test/scale_invariant_psnr_db", "scale-invariant PSNR", "dB", "higher"),
    Metric("test/psnr_db", "PSNR", "dB", "higher"),
    Metric("test/ssim", "SSIM", "", "higher"),
    Metric("test/ms_ssim", "MS-SSIM", "", "higher"),
    Metric("test/range_invariant_ssim", "range-invariant SSIM", "", "higher"),
    Metric("test/range_invariant_ms_ssim", "range-invariant MS-SSIM", "", "higher"),
    Metric("test/micro_ssim", "MicroSSIM", "", "higher"),
    Metric("test/seam_gradient_ratio", "gradient across seams / inside tiles", "", "lower"),
    Metric("test/seam_divergence", "divergence of gradients at seams", "nats", "lower"),
    Metric("test/calibration_error", "calibration error", "", "lower"),
    Metric("test/calibration_scale", "calibration scale", "", "neither"),
    Metric("test/calibration_offset", "calibration offset", "", "neither"),
    Metric("test/seconds", "prediction time", "s", "lower"),
    # cost
    Metric("cost/parameters", "parameters", "", "lower"),
    Metric("cost/train_seconds", "training time", "s", "lower"),
    Metric("cost/checkpoint_seconds", "time to write checkpoints", "s", "lower"),
    Metric("cost/energy_joules", "energy of the training", "J", "lower"),
    Metric("cost/peak_host_bytes", "peak host memory", "B", "lower"),
    Metric("cost/peak_device_bytes", "peak device memory", "B", "lower"),
)

METRICS: dict[str, Metric] = {metric.key: metric for metric in _METRICS}

#: Decides the learning rate, early stopping and the best checkpoint (docs/method.md, Training).
MONITOR = METRICS["validation/psnr_db"]
#: The number that the paper reports (docs/method.md, Evaluation).
HEADLINE = METRICS["test/scale_invariant_psnr_db"]


def metric(key: str) -> Metric:
    """Return the metric of `key`; a per-channel or per-level key (``…/0``) gives its parent's label."""
    if key in METRICS:
        return METRICS[key]
    parent, _, index = key.rpartition("/")
    if parent in METRICS and index.isdigit():
        return METRICS[parent]._replace(key=key, label=f"{METRICS[parent].label} [{index}]")
    raise KeyError(f"{key!r} is no metric of this project; the vocabulary has {', '.join(METRICS)}")
