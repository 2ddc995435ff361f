"""What a run is: one frozen, JSON-able object, resolved and checked before anything is computed.

Each field has a label and a unit for the axes of figures, and refuses values that no run can have.
`usplit_core.settings` makes a run out of settings by dotted name.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from usplit_core.tiling_rules import UNCHECKED, check_tile
from usplit_core.variants import check_levels, check_noise_model, defaults, patch_multiple

Architecture = Literal["hvae", "hae", "unet", "bravenet"]
Variant = Literal["vanilla", "lean", "regular", "deep"]

Fraction = Annotated[float, Field(gt=0, lt=1)]
_EPOCHS: dict[str, JsonValue] = {"unit": "epochs"}


class _Section(BaseModel):
    """Frozen, knows its fields and refuses all others."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which images, how they are split into parts, superimposed and normalised (docs/method.md, Data)."""

    path: str | tuple[str, ...] = Field(
        title="images",
        description="A file, a folder of files, or one file per structure channel. "
        "`package:DISTRIBUTION/FILE` is a file that pip installed, `synthetic:NAME` is generated.",
    )
    axes: str | None = Field(None, title="axes of the file", description="Such as 'NCYX'; None = as the file says.")
    channels: Annotated[tuple[int | str, ...], Field(min_length=2)] = Field(
        (0, 1), title="structure channels", description="Index or name of each structure channel in the file."
    )
    split: Literal["auto", "frame", "region", "alternating"] = Field(
        "auto",
        title="split",
        description="By frame (test first, then validation, then training), by region of each frame, or alternating "
        "as the paper does with PaviaATN; auto = by frame from 5 frames on, else by region.",
    )
    region_axis: Literal["auto", "y", "x"] = Field(
        "auto", title="region axis", description="Axis along which frames are cut into regions; auto = the longer one."
    )
    validation_fraction: Fraction = Field(0.1, title="validation fraction")
    test_fraction: Fraction = Field(0.1, title="test fraction")
    clip_quantile: Annotated[float, Field(gt=0, le=1)] = Field(
        0.995,
        title="clip quantile",
        description="Pixels above this quantile of the training frames are set to it; 1 = off.",
    )
    clip_per_channel: bool = Field(False, title="clip per channel", description="A quantile a channel, or one of all.")
    background_quantile: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, title="background quantile", description="Subtracted from each frame and channel; 0 = off."
    )
    superposition: Literal["average", "sum"] = Field("average", title="superposition")
    mixing_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, title="mixing weights", description="Weight of each structure channel in the input; None = equal."
    )
    mixing_weight_range: tuple[Fraction, Fraction] | None = Field(
        None,
        title="mixing weight range",
        description="In training, the weight of the first of two channels is drawn from this range; None = fixed.",
    )
    input_normalisation: Literal["pooled", "superimposed"] = Field(
        "pooled",
        title="input normalisation",
        description="Mean and deviation of all structure channels pooled (paper), or of the superimposed image.",
    )
    target_normalisation: Literal["per_channel", "pooled"] = Field("per_channel", title="target normalisation")
    border: Literal["reflect", "constant"] = Field(
        "reflect", title="border", description="What lies beyond the frame: its reflection, or zero intensity."
    )
    augment: bool = Field(False, title="flips and rotations")

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on: lower one of them")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels = {list(self.channels)}: each structure channel may be named once")
        if self.mixing_weights is not None:
            if len(self.mixing_weights) != len(self.channels) or not sum(self.mixing_weights):
                raise ValueError(
                    f"mixing_weights = {list(self.mixing_weights)}: give one weight for each of the "
                    f"{len(self.channels)} channels, at least one above 0"
                )
            if self.mixing_weight_range is not None:
                raise ValueError("mixing_weights and mixing_weight_range exclude each other: give one of them")
        if self.mixing_weight_range is not None:
            if len(self.channels) != 2:
                raise ValueError("mixing_weight_range is defined for two channels: use mixing_weights for more")
            low, high = self.mixing_weight_range
            if low > high:
                raise ValueError(f"mixing_weight_range = [{low}, {high}]: the first number must not exceed the second")
        return self


class ModelConfig(_Section):
    """The network: what it sees and how deep it is (docs/method.md, Networks)."""

    architecture: Architecture = Field("hvae", title="architecture")
    variant: Variant = Field("regular", title="variant")
    lc_depth: Annotated[int, Field(ge=0, le=8)] = Field(
        title="LC depth", description="Low-resolution inputs beside the primary patch; 0 = no lateral context."
    )
    patch_px: Annotated[int, Field(ge=8, le=4096)] = Field(64, title="patch size", json_schema_extra={"unit": "px"})
    structure_channels: Annotated[int, Field(ge=2)] = Field(2, title="number of structure channels")
    depth: Annotated[int, Field(ge=1, le=12)] = Field(
        title="levels", description="Latent levels (HVAE, HAE) or down levels."
    )
    filters: Annotated[int, Field(ge=1, le=1024)] = Field(
        title="filters", description="Of the first level (U-Net, BraveNet)."
    )
    latent_channels: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], ...] = Field(
        128, title="latent channels", description="Of every level, or one number a level from the bottom (HVAE, HAE)."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, title="dropout", description="Not in the U-Net.")
    log_variance: Literal["none", "global", "channelwise", "pixelwise"] = Field(
        "pixelwise", title="predicted log-variance", description="Of the Gaussian (HVAE, HAE); none = unit variance."
    )
    min_log_variance: float = Field(-5.0, title="lower bound of the log-variance", description="HVAE, HAE.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_variant(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**defaults(values.get("architecture", "hvae"), values.get("variant", "regular")), **values}

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        check_levels(self.architecture, self.variant, lc_depth=self.lc_depth, depth=self.depth)
        if self.patch_px % self.patch_multiple:
            raise ValueError(
                f"patch_px = {self.patch_px}: this network needs a multiple of {self.patch_multiple} px; "
                "change model.patch_px or lower model.depth"
            )
        if not isinstance(self.latent_channels, int) and len(self.latent_channels) != self.depth:
            raise ValueError(
                f"latent_channels = {list(self.latent_channels)}: give one, or {self.depth} numbers (model.depth)"
            )
        return self

    @property
    def context_levels(self) -> int:
        """L = 1 + lc_depth: inputs that the network sees, the primary patch included."""
        return 1 + self.lc_depth

    @property
    def level_latent_channels(self) -> tuple[int, ...]:
        """Latent channels of each level, from the bottom."""
        if isinstance(self.latent_channels, int):
            return (self.latent_channels,) * self.depth
        return self.latent_channels

    @property
    def patch_multiple(self) -> int:
        """Every input side must be a multiple of this many pixels."""
        return patch_multiple(self.architecture, self.variant, lc_depth=self.lc_depth, depth=self.depth)


class ObjectiveConfig(_Section):
    """What training minimises (docs/method.md, Objective). KL and free bits are those of the HVAE only."""

    likelihood: Literal["gaussian", "noise_model"] = Field("gaussian", title="likelihood")
    noise_model_path: str | None = Field(None, title="noise model", description="File written by `usplit noise-model`.")
    kl_weight: Annotated[float, Field(ge=0)] = Field(1.0, title="KL weight")
    kl_normalisation: Literal["per_level", "image"] = Field(
        "per_level",
        title="KL normalisation",
        description="KL of a level divided by the size of its latent, mean over levels (µSplit), "
        "or divided by the pixels of the patch, sum over levels (denoiSplit).",
    )
    kl_estimate: Literal["monte_carlo", "analytical"] = Field("monte_carlo", title="KL estimate")
    free_bits: Annotated[float, Field(ge=0)] = Field(0.0, title="free bits", json_schema_extra={"unit": "nats"})
    kl_annealing_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, title="KL annealing", json_schema_extra=_EPOCHS, description="None = off."
    )

    @model_validator(mode="after")
    def _check(self) -> "ObjectiveConfig":
        if (self.likelihood == "noise_model") != (self.noise_model_path is not None):
            raise ValueError("likelihood = 'noise_model' and noise_model_path go together: give both or neither")
        return self


class TrainConfig(_Section):
    """The schedule (docs/method.md, Training). Every interval is counted in epochs."""

    epochs: Annotated[int, Field(ge=1)] = Field(200, title="epochs", json_schema_extra=_EPOCHS)
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = Field(
        None, title="steps per epoch", json_schema_extra={"unit": "steps"}, description="None = cover the frames once."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(32, title="batch size", json_schema_extra={"unit": "patches"})
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, title="learning rate")
    plateau_factor: Fraction = Field(0.5, title="learning-rate factor on a plateau")
    plateau_patience: Annotated[int, Field(ge=0)] = Field(15, title="plateau patience", json_schema_extra=_EPOCHS)
    min_learning_rate: Annotated[float, Field(ge=0)] = Field(1e-12, title="smallest learning rate")
    early_stop_patience: Annotated[int, Field(ge=1)] | None = Field(
        100, title="early-stop patience", json_schema_extra=_EPOCHS, description="None = off."
    )
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(0.5, title="gradient clip", description="None = off.")
    gradient_clip_by: Literal["norm", "value"] = Field("norm", title="gradient clip by")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", title="precision")
    max_skipped_steps: Annotated[int, Field(ge=0)] = Field(
        20, title="most non-finite steps in a row", json_schema_extra={"unit": "steps"}
    )
    checkpoint_every_epochs: Annotated[int, Field(ge=1)] = Field(
        1, title="checkpoint every", json_schema_extra=_EPOCHS, description="And at the end. Changes no result."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="seed")
    data_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        None, title="seed of the data order", description="None = train.seed."
    )
    continue_from: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = Field(
        None, title="training to go on from", description="Fingerprint of a finished training; None = begin anew."
    )

    @property
    def data_order_seed(self) -> int:
        """The seed that decides which patches are seen, and in which order."""
        return self.seed if self.data_seed is None else self.data_seed


class TilingConfig(_Section):
    """How whole frames are predicted: evaluation factors, which never need a new training (docs/method.md, Tiling)."""

    mode: Literal["inner", "outer", "sliding"] = Field("inner", title="tiling")
    padding_px: Annotated[int, Field(ge=0)] = Field(16, title="padding", json_schema_extra={"unit": "px"})
    stride_px: Annotated[int, Field(ge=1)] | None = Field(
        None,
        title="stride",
        json_schema_extra={"unit": "px"},
        description="Of sliding tiling: from one tile to the next, a divisor of what a tile keeps; None = half of it.",
    )
    samples: Annotated[int, Field(ge=1)] = Field(1, title="posterior samples")
    border: Literal["reflect", "constant", "shift"] | None = Field(
        None,
        title="border in prediction",
        description="What lies beyond the frame; shift = windows at the border are moved inwards; None = data.border.",
    )
    remainder: Literal["covered", "left_out"] = Field(
        "covered", title="remainder of the frame", description="What no whole tile covers; left_out = as the original."
    )
    precision: Literal["float32", "bfloat16"] = Field("float32", title="precision of the prediction")


class RunConfig(_Section):
    """One training and one way to evaluate it."""

    data: DataConfig
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    tiling: TilingConfig = TilingConfig()

    @model_validator(mode="before")
    @classmethod
    def _count_channels(cls, values: Any) -> Any:
        """Let ``model.structure_channels`` follow from ``data.channels`` where it is not stated."""
        if not isinstance(values, dict):
            return values
        channels = (values.get("data") or {}).get("channels") if isinstance(values.get("data"), dict) else None
        model = values.get("model", {})
        if isinstance(channels, list | tuple) and isinstance(model, dict) and "structure_channels" not in model:
            return {**values, "model": {**model, "structure_channels": len(channels)}}
        return values

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        if self.model.structure_channels != len(self.data.channels):
            raise ValueError(
                f"model.structure_channels = {self.model.structure_channels} but data.channels names "
                f"{len(self.data.channels)}: leave model.structure_channels out, or make them agree"
            )
        if self.objective.likelihood == "noise_model":
            check_noise_model(self.model.architecture, self.model.log_variance, self.data.background_quantile)
        check_tiling(self.model, self.tiling)
        return self


def check_tiling(model: ModelConfig, tiling: TilingConfig) -> None:
    """Refuse a tiling that keeps nothing of the patch or that the network cannot take.

    Raises
    ------
    ConfigError
        With the value, the rule and the remedy.
    """
    check_tile(**tiling.model_dump(exclude=UNCHECKED), patch_px=model.patch_px, multiple=model.patch_multiple)


#: Settings that cannot change a trial's result: they belong to an evaluation, not to a training.
EVALUATION_SECTIONS = ("tiling",)
