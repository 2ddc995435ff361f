"""Write docs/settings.md from the schema of a run: ``python docs/generate_settings.py``."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from usplit_core.config import RunConfig
from usplit_core.settings import SETTINGS, format_setting
from usplit_core.variants import DEFAULTS

PAGE = Path(__file__).with_name("settings.md")
REFERENCE = re.compile(r"docs/method\.md, (\w[\w ]*)")

HEAD = """# Settings

Written by `docs/generate_settings.py` from `usplit_core/config.py`; a test holds the two together.

A setting has one name everywhere: in a search space, on the command line (`--set model.lc_depth=2`), in the store, on
the axis of a figure. A setting that you do not state takes its default; a name or a value that does not exist is
refused before anything runs, with the nearest one that does. What the settings mean is told in [method.md](method.md).

The sections data, model, objective and train hold train factors: another value needs another training. The section
tiling holds evaluation factors: every value is tried on the same trained network, without another training.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_sections(), *_variants()]) + "\n"


def _sections() -> list[str]:
    lines = []
    for section, field in RunConfig.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"RunConfig.{section} is no section of settings")
        what = (model.__doc__ or "").strip().splitlines()[0]
        lines += [f"## {section}", "", REFERENCE.sub(_link, what), ""]
        lines += ["| setting | label | values | unit | default | meaning |", "|---|---|---|---|---|---|"]
        schema = model.model_json_schema()["properties"]
        lines += [_row(f"{section}.{name}", field, schema[name]) for name, field in model.model_fields.items()]
        lines.append("")
    return lines


def _link(reference: re.Match[str]) -> str:
    title = reference[1]
    return f"[{title}](method.md#{title.lower().replace(' ', '-')})"


def _row(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    info = SETTINGS[name]
    cells = (f"`{name}`", info.label, _values(schema), info.unit, _default(name, field), info.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "by variant, below" if name.startswith("model.") else "must be given"
    return "None" if field.default is None else f"`{format_setting(field.default)}`"


def _values(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_values(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return _list(schema)
    words = {"boolean": "true, false", "integer": "integer", "number": "number", "string": "text", "null": "None"}
    return " ".join([words[schema["type"]], ", ".join(_bounds(schema))]).rstrip()


def _list(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        return "(" + ", ".join(_values(item) for item in schema["prefixItems"]) + ")"
    least = f", {schema['minItems']} or more" if "minItems" in schema else ""
    return f"list ({_values(schema['items'])}){least}"


def _bounds(schema: dict[str, Any]) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]


def _variants() -> list[str]:
    columns = sorted({name for row in DEFAULTS.values() for name in row})
    lines = ["## Defaults by architecture and variant", ""]
    lines.append("| architecture | variant | " + " | ".join(f"`model.{name}`" for name in columns) + " |")
    lines.append("|---" * (len(columns) + 2) + "|")
    for (architecture, variant), row in DEFAULTS.items():
        cells = [architecture, variant, *(str(row.get(name, "")) for name in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
