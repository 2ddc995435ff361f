"""Settings by dotted name: what is known of each, texts and values, and a run made of them.

The same name (``model.lc_depth``) is the search-space key, the parameter in the store and the
figure's axis.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from usplit_core.config import RunConfig
from usplit_core.errors import ConfigError, nearest

Setting = bool | int | float | str | None | tuple["Setting", ...]


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


def _fields_of(section: FieldInfo) -> dict[str, FieldInfo]:
    if not (isinstance(section.annotation, type) and issubclass(section.annotation, BaseModel)):
        raise TypeError(f"{section.annotation} is no section of settings")
    return section.annotation.model_fields


#: Every legal setting by its dotted name.
SETTINGS: Mapping[str, SettingInfo] = MappingProxyType({
    f"{section}.{name}": _describe(f"{section}.{name}", field)
    for section, part in RunConfig.model_fields.items()
    for name, field in _fields_of(part).items()
})  # fmt: skip


#: The values of settings that nobody has set; those that the variant or the user must give are not in it.
DEFAULT_VALUES: Mapping[str, Setting] = MappingProxyType({
    f"{section}.{name}": field.default
    for section, part in RunConfig.model_fields.items()
    for name, field in _fields_of(part).items()
    if not field.is_required()
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


def check_setting(name: str, value: Any) -> None:
    """Refuse a value that setting `name` cannot have in any run.

    Raises
    ------
    ConfigError
        If the name is unknown, or the value is of another type or beyond the range.
    """
    info = setting(name)
    try:
        text = json.dumps(value, allow_nan=False)
        info.type.validate_json(text, strict=True)
    except ValidationError as error:
        # A value of the right type but beyond the range tells more than those of another type.
        problems = [problem for problem in error.errors() if not problem["type"].endswith("_type")]
        raise ConfigError(f"{name} = {text}: {_rule((problems or error.errors())[-1])}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} = {value!r}: {error}; use numbers, texts and tuples") from None


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
    """Return the JSON texts that `text` may stand for; a number before a list of one number."""
    readings = [json.dumps(text), json.dumps(_scalar(text))]
    if isinstance(_scalar(text), list):
        readings.reverse()  # what `format_setting` writes of a list is a legal path too
    if text in ("None", "none", "off", "null"):
        readings.insert(0, "null")
    if not text.startswith("["):
        readings.append(json.dumps([_scalar(item.strip()) for item in text.split(",")]))
    return readings


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
