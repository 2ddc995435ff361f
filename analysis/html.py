"""Elements of an HTML page as functions: text is escaped unless it is itself the result of one."""

from html import escape
from typing import Final

_EMPTY: Final = frozenset({"img", "meta"})


class Safe(str):
    """HTML that needs no escaping."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Safe:
    """Return one element; children and attributes that are None are left out.

    A trailing underscore of an attribute is dropped (``class_``), others become hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Safe(f"<{name}{given}>")
    return Safe(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: str | None) -> Safe:
    """Return the children one after the other, escaped where they are plain text."""
    return Safe("".join(child if isinstance(child, Safe) else escape(child) for child in children if child is not None))
