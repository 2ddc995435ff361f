"""What a run is: one frozen, JSON-able object, resolved and checked before anything is computed.

Settings are written with dotted names (``model.lc_depth``), the same from search space to figure
axis. `resolve` turns them into a `RunConfig`; `flatten` turns that back into dotted names.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from usplit_core.errors import ConfigError, nearest
from usplit_core.variants import DEFAULTS

Architecture = Literal["hvae", "hae", "unet", "bravenet"]
Variant = Literal["vanilla", "lean", "regular", "deep"]
Setting = bool | int | float | str | None | tuple["Setting", ...]

Fraction = Annotated[float, Field(gt=0, lt=1)]


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
    clip_per_channel: bool = Field(
        False, title="clip per channel", description="One quantile a channel, or one of all pooled."
    )
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
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, title="dropout")
    log_variance: Literal["none", "global", "channelwise", "pixelwise"] = Field(
        "pixelwise", title="predicted log-variance", description="Of the Gaussian likelihood; none = unit variance."
    )
    min_log_variance: float = Field(-5.0, title="lower bound of the log-variance")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_variant(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        architecture, variant = values.get("architecture", "hvae"), values.get("variant", "regular")
        legal = [row_variant for row_architecture, row_variant in DEFAULTS if row_architecture == architecture]
        if variant in get_args(Variant) and legal and variant not in legal:
            raise ValueError(f"variant = {variant!r}: {architecture} exists as {', '.join(legal)}")
        return {**DEFAULTS.get((architecture, variant), {}), **values}

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        _check_variant(self)
        _check_sizes(self)
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
        if self.variant in ("regular", "deep") and self.architecture != "bravenet":
            # A level with context halves the map and pads it back, so only the levels above it shrink it for good.
            shrinking = self.depth - self.lc_depth
            return 1 << max(shrinking, 1 if self.lc_depth else 0)
        halvings = self.depth - 1 if self.architecture == "bravenet" else self.depth
        return 1 << halvings


def _check_variant(model: ModelConfig) -> None:
    if model.variant == "vanilla" and model.lc_depth:
        raise ValueError(
            f"lc_depth = {model.lc_depth}: the vanilla variant has no lateral context; "
            "set model.lc_depth to 0, or model.variant to lean, regular or deep"
        )
    if model.architecture == "bravenet" and model.lc_depth > 1:
        raise ValueError(f"lc_depth = {model.lc_depth}: BraveNet has one context input; set model.lc_depth to 0 or 1")
    if model.lc_depth > model.depth:
        raise ValueError(
            f"lc_depth = {model.lc_depth} is deeper than the network, which has model.depth = {model.depth} levels; "
            f"set model.lc_depth to at most {model.depth}, or model.depth to at least {model.lc_depth}"
        )
    if model.variant == "deep" and model.lc_depth == model.depth:
        raise ValueError(
            f"depth = {model.depth}: the deep variant has levels above its lc_depth = {model.lc_depth} levels with "
            "context; raise model.depth, or set model.variant to regular"
        )


def _check_sizes(model: ModelConfig) -> None:
    if model.patch_px % model.patch_multiple:
        raise ValueError(
            f"patch_px = {model.patch_px}: this network needs a multiple of {model.patch_multiple} px; "
            "change model.patch_px or lower model.depth"
        )
    if not isinstance(model.latent_channels, int) and len(model.latent_channels) != model.depth:
        raise ValueError(
            f"latent_channels = {list(model.latent_channels)}: give one number, or {model.depth} numbers (model.depth)"
        )


class ObjectiveConfig(_Section):
    """What training minimises (docs/method.md, Objective)."""

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
        None, title="KL annealing", json_schema_extra={"unit": "epochs"}, description="None = off."
    )

    @model_validator(mode="after")
    def _check(self) -> "ObjectiveConfig":
        if (self.likelihood == "noise_model") != (self.noise_model_path is not None):
            raise ValueError("likelihood = 'noise_model' and noise_model_path go together: give both or neither")
        return self


class TrainConfig(_Section):
    """The schedule (docs/method.md, Training). Every interval is counted in epochs."""

    epochs: Annotated[int, Field(ge=1)] = Field(200, title="epochs", json_schema_extra={"unit": "epochs"})
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = Field(
        None,
        title="steps per epoch",
        json_schema_extra={"unit": "steps"},
        description="None = as many as cover the training frames once.",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(32, title="batch size", json_schema_extra={"unit": "patches"})
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, title="learning rate")
    plateau_factor: Fraction = Field(0.5, title="learning-rate factor on a plateau")
    plateau_patience: Annotated[int, Field(ge=0)] = Field(
        15, title="plateau patience", json_schema_extra={"unit": "epochs"}
    )
    min_learning_rate: Annotated[float, Field(ge=0)] = Field(1e-12, title="smallest learning rate")
    early_stop_patience: Annotated[int, Field(ge=1)] | None = Field(
        100, title="early-stop patience", json_schema_extra={"unit": "epochs"}, description="None = off."
    )
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(0.5, title="gradient clip", description="None = off.")
    gradient_clip_by: Literal["norm", "value"] = Field("norm", title="gradient clip by")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", title="precision")
    max_skipped_steps: Annotated[int, Field(ge=0)] = Field(
        20, title="most non-finite steps in a row", json_schema_extra={"unit": "steps"}
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="seed")
    data_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        None, title="seed of the data order", description="None = train.seed."
    )

    @property
    def data_order_seed(self) -> int:
        """The seed that decides which patches are seen, and in which order."""
        return self.seed if self.data_seed is None else self.data_seed


class TilingConfig(_Section):
    """How whole frames are predicted: evaluation factors, which never need a new training (docs/method.md, Tiling)."""

    mode: Literal["inner", "outer"] = Field("inner", title="tiling")
    padding_px: Annotated[int, Field(ge=0)] = Field(16, title="padding", json_schema_extra={"unit": "px"})
    samples: Annotated[int, Field(ge=1)] = Field(1, title="posterior samples")


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
        check_tiling(self.model, self.tiling)
        return self


def check_tiling(model: ModelConfig, tiling: TilingConfig) -> None:
    """Refuse a tiling that keeps nothing of the patch or that the network cannot take.

    Raises
    ------
    ConfigError
        With the value, the rule and the remedy.
    """
    if tiling.mode == "inner" and 2 * tiling.padding_px >= model.patch_px:
        raise ConfigError(
            f"tiling.padding_px = {tiling.padding_px} leaves nothing of a {model.patch_px} px patch: "
            f"inner padding keeps patch_px - 2 padding_px; set it below {model.patch_px // 2}"
        )
    if tiling.mode == "outer" and (2 * tiling.padding_px) % model.patch_multiple:
        raise ConfigError(
            f"tiling.padding_px = {tiling.padding_px}: outer padding grows the input to "
            f"{model.patch_px + 2 * tiling.padding_px} px; this network needs a multiple of {model.patch_multiple} px; "
            f"use a padding_px that is a multiple of {max(model.patch_multiple // 2, 1)}"
        )


#: Settings that cannot change a trial's result: they belong to an evaluation, not to a training.
EVALUATION_SECTIONS = ("tiling",)


class SettingInfo(NamedTuple):
    """What is known of one setting: for axes, help texts and the types of what comes back from the store."""

    name: str
    label: str
    unit: str
    type: TypeAdapter[Any]
    description: str


def _describe(name: str, field: FieldInfo) -> SettingInfo:
    extra = field.json_schema_extra
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return SettingInfo(name, field.title or name, unit, TypeAdapter(annotation), field.description or "")


def _sections() -> dict[str, type[_Section]]:
    return {
        "data": DataConfig,
        "model": ModelConfig,
        "objective": ObjectiveConfig,
        "train": TrainConfig,
        "tiling": TilingConfig,
    }


#: Every legal setting by its dotted name.
SETTINGS: Mapping[str, SettingInfo] = MappingProxyType({
    f"{section}.{name}": _describe(f"{section}.{name}", field)
    for section, model in _sections().items()
    for name, field in model.model_fields.items()
})  # fmt: skip


def setting(name: str) -> SettingInfo:
    """Return what is known of the setting `name`.

    Raises
    ------
    ConfigError
        If there is no such setting; names the nearest one.
    """
    if name not in SETTINGS:
        raise ConfigError(f"there is no setting {name!r}; {nearest(name, SETTINGS)}")
    return SETTINGS[name]


def parse_setting(name: str, text: str) -> Setting:
    """Read the value of setting `name` from `text`, as given on a command line or held in the store.

    Raises
    ------
    ConfigError
        If the name is unknown or the text is no value of that setting.
    """
    info = setting(name)
    problems = []
    for reading in _readings(text):
        try:
            value: Setting = info.type.validate_json(reading, strict=True)
        except ValidationError as error:
            problems += error.errors()
        else:
            return value
    # A reading of the right type but beyond the range tells more than those of another type.
    of_this_type = [problem for problem in problems if not problem["type"].endswith("_type")]
    raise ConfigError(f"{name} = {text!r}: {_rule((of_this_type or problems)[-1])}")


def format_setting(value: Setting) -> str:
    """Return the text of a setting's value; `parse_setting` reads it back."""
    return value if isinstance(value, str) else json.dumps(value)


def _readings(text: str) -> list[str]:
    """Return the JSON texts that `text` may stand for, the likeliest last."""
    readings = [json.dumps(text)]
    if text in ("None", "none", "off", "null"):
        readings.insert(0, "null")
    if not text.startswith("["):
        readings.append(json.dumps([_scalar(item.strip()) for item in text.split(",")]))
    return [*readings, json.dumps(_scalar(text))]


def _scalar(text: str) -> Any:
    try:
        return json.loads({"True": "true", "False": "false"}.get(text, text))
    except json.JSONDecodeError:
        return text


def resolve(settings: Mapping[str, Any]) -> RunConfig:
    """Turn settings by dotted name into a checked run; whatever is not stated takes its default.

    Parameters
    ----------
    settings
        ``{"data.path": "cells.tif", "model.lc_depth": 2, …}``; values must be JSON-able.

    Raises
    ------
    ConfigError
        One message for all that is wrong: each value, its rule and the remedy.
    """
    nested: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        setting(name)
        section, _, field = name.partition(".")
        nested.setdefault(section, {})[field] = value
    if "data" not in nested or nested["data"].get("path") is None:
        raise ConfigError("data.path is not set: name the images, such as --set data.path=cells.tif")
    return validate(nested)


def validate(nested: Mapping[str, Any]) -> RunConfig:
    """Check a run given as nested mappings, as a record file holds it; see `resolve`."""
    try:
        # Through JSON and strictly: what a record file cannot hold, or holds with another type, is refused here.
        return RunConfig.model_validate(_with_tuples(json.loads(json.dumps(nested))), strict=True)
    except TypeError as error:
        raise ConfigError(
            f"a setting has a value that a record cannot hold ({error}): use numbers, texts and tuples"
        ) from None
    except ValidationError as error:
        raise ConfigError("\n".join(_explanations(error))) from None


def _with_tuples(value: Any) -> Any:
    """Return `value` with tuples for the lists that JSON has instead."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value


def _explanations(error: ValidationError) -> list[str]:
    """Return one line for each field that is wrong, leaving out what only follows from another mistake."""
    details = error.errors()
    if any(detail["type"] != "missing" for detail in details):
        # A misspelt variant has no row of defaults, so the fields of that row are missing too.
        details = [detail for detail in details if detail["type"] != "missing"]
    by_field: dict[tuple[int | str, ...], ErrorDetails] = {}
    for detail in details:
        # A field of several types has an error for each; the one found deepest fits what was meant best.
        known = by_field.get(detail["loc"][:2])
        if known is None or len(detail["loc"]) > len(known["loc"]):
            by_field[detail["loc"][:2]] = detail
    return [_explain(detail) for detail in by_field.values()]


def _explain(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"][:2])
    if detail["type"] == "extra_forbidden":
        return f"there is no setting {name!r}; {nearest(name, SETTINGS)}"
    if detail["type"] == "value_error":
        text = detail["msg"].removeprefix("Value error, ")
        return text if not name or text.startswith(("tiling.", "model.", "data.")) else f"{name}.{text}"
    return f"{name} = {json.dumps(detail['input'])}: {_rule(detail)}"


def _rule(detail: ErrorDetails) -> str:
    if detail["type"] in ("too_short", "too_long"):
        bound = detail["ctx"].get("min_length", detail["ctx"].get("max_length"))
        return f"must hold at {'least' if detail['type'] == 'too_short' else 'most'} {bound} values"
    if detail["type"] == "literal_error":
        legal = [item.strip("'") for item in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"must be one of {', '.join(legal)}; {nearest(str(detail['input']), legal)}"
    return detail["msg"].replace("Input should be", "must be").replace("Field required", "must be given")


def flatten(config: RunConfig) -> dict[str, Setting]:
    """Return every setting of a run by its dotted name."""
    dump = config.model_dump()
    return {f"{section}.{name}": value for section, fields in dump.items() for name, value in fields.items()}


def to_json(config: RunConfig) -> str:
    """Return the run as the JSON text of its record file; `validate` reads it back."""
    return json.dumps(config.model_dump(mode="json"), indent=2, sort_keys=True)
