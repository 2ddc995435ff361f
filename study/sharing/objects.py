"""An object store, such as S3: what is read and written there, and what its errors mean.

Keys and tokens come from the environment of the process, or from the role of its machine. They are
part of no address, and what a server answers is not repeated where it may hold them.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from study.errors import StoreError
from study.sharing.reasons import ObjectsDenied, meaning_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Kinds of object store; only the first is tried by tests.
SCHEMES = ("s3", "gs", "az")
#: Kept in the memory of one process, for tests.
_MEMORY = "memory"
#: Files go in parts of this size, so that no request takes long.
_PART_BYTES = 16 * 1024**2
_PARTS_AT_A_TIME = 4
_CLIENT: dict[str, Any] = {"connect_timeout": "5s", "timeout": "60s"}
#: What goes on for longer is an outage, and waited out by who asks (study/engine/outage.py).
_RETRY: dict[str, Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


class Version(NamedTuple):
    """Which content of an object is meant."""

    tag: str | None
    number: str | None


class Content(NamedTuple):
    """An object as it was read."""

    data: bytes
    version: Version


class Objects:
    """The objects below one address.

    Raises
    ------
    StoreError
        From all methods: where the object store refuses (`ObjectsDenied`), or cannot be reached,
        which is an outage to `study.engine.outage`.
    """

    def __init__(self, address: str, store: "ObjectStore") -> None:
        self.address = address
        self._store = store

    def read(self, key: str) -> Content | None:
        """Return an object; None where there is none."""
        import obstore

        with self._asking():
            try:
                found = obstore.get(self._store, key)
                data = bytes(found.bytes())
            except FileNotFoundError as error:
                self._refuse_missing_bucket(error)
                return None
        return Content(data, Version(found.meta["e_tag"], found.meta["version"]))

    def download(self, key: str, size: int, file: IO[bytes]) -> bool:
        """Copy the first `size` bytes of an object into a file; return whether there is such an object."""
        import obstore

        for start in range(0, size, _PART_BYTES):
            with self._asking():
                try:
                    part = obstore.get_range(self._store, key, start=start, end=min(start + _PART_BYTES, size))
                except FileNotFoundError as error:
                    self._refuse_missing_bucket(error)
                    return False
            file.write(part)
        return True

    def write(self, key: str, content: bytes | IO[bytes]) -> None:
        """Write an object, whatever was there."""
        import obstore

        with self._asking():
            obstore.put(self._store, key, content, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_A_TIME)

    def exchange(self, key: str, data: bytes, seen: Version | None) -> Version | None:
        """Write an object if nobody has written it since.

        Parameters
        ----------
        key, data
            The object and its new content.
        seen
            The version that it must still have; None = there must be none.

        Returns
        -------
        Version or None
            The new version; None where another one stands there. If the answer to an earlier try
            was lost, that may be the own one.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._asking():
            try:
                if seen is None:
                    done = obstore.put(self._store, key, data, mode="create", use_multipart=False)
                else:
                    known = {"e_tag": seen.tag, "version": seen.number}
                    update: Any = {name: value for name, value in known.items() if value is not None}
                    done = obstore.put(self._store, key, data, mode=update, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
        return Version(done["e_tag"], done["version"])

    def keys(self, prefix: str) -> list[str]:
        """Return the names of all objects below `prefix`, which is whole words between slashes."""
        import obstore

        with self._asking():
            return [entry["path"] for page in obstore.list(self._store, prefix) for entry in page]

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; to S3 it does not matter if they are gone already."""
        import obstore

        wanted = sorted(keys)
        if wanted:
            with self._asking():
                obstore.delete(self._store, wanted)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            # What the library says holds addresses, answers and at times tokens: none of it is passed on.
            meant = meaning_of(self.address, str(error))
            raise meant from meant.__cause__

    def _refuse_missing_bucket(self, error: FileNotFoundError) -> None:
        """Raise where it is not the object that is missing."""
        if "NoSuchKey" not in str(error) and "<Code>" in str(error):
            meant = meaning_of(self.address, str(error))
            raise meant from meant.__cause__


def check_address(address: str) -> None:
    """Refuse what is no address of an object store, or holds a password.

    Raises
    ------
    StoreError
        With the rule.
    """
    rule = "give s3://BUCKET/PREFIX; keys come from the environment (AWS_ACCESS_KEY_ID and the like)"
    scheme, _, rest = address.partition("://")
    if "@" in rest or "?" in rest:
        raise StoreError(f"--shared {scheme}://…: an address holds no keys and no options: {rule}")
    if scheme not in SCHEMES or not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.=-]+)*/?", rest):
        raise StoreError(f"--shared {address}: is no object store: {rule}")


@cache
def open_objects(address: str) -> Objects:
    """Return the objects below an address, such as ``s3://BUCKET/PREFIX``; nothing is asked yet.

    Raises
    ------
    StoreError
        If the library for object stores is missing, or the environment says what cannot be used.
    """
    try:
        import obstore.store
        from obstore.exceptions import BaseError
    except ImportError:
        raise StoreError(
            f"{address}: object stores need the package obstore: pip install 'usplit-study[objectstore]' here and "
            "in the environment of every node"
        ) from None
    if address.startswith(f"{_MEMORY}://"):
        return Objects(address, obstore.store.MemoryStore())
    client: Any = {**_CLIENT, "allow_http": _http_is_allowed(address)}
    retry: Any = _RETRY
    try:
        return Objects(address, obstore.store.from_url(address, client_options=client, retry_config=retry))
    except (BaseError, ValueError) as error:
        meant = meaning_of(address, str(error))
        raise meant from meant.__cause__


def _http_is_allowed(address: str) -> bool:
    """Return whether the traffic may be read by others on the way, which the user must say."""
    endpoints = [os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")]
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    if any(endpoint.startswith("http://") for endpoint in endpoints) and not allowed:
        raise ObjectsDenied(
            f"{address}: the server that AWS_ENDPOINT_URL names speaks HTTP, which others in the network can read: "
            "give an https:// address, or set AWS_ALLOW_HTTP=true here and on every node"
        )
    return allowed


def try_out(objects: Objects, name: str) -> None:
    """Write, read, replace and remove an object, and see that it is not replaced by who has not seen it.

    Parameters
    ----------
    objects
        The object store.
    name
        Of the object, which must be new.

    Raises
    ------
    StoreError
        If any of this fails; what would be waited out later is a user's mistake before the first trial.
    """
    first = objects.exchange(name, b"first", None)
    try:
        second = None if first is None else objects.exchange(name, b"second", first)
        found = objects.read(name)
        listed = objects.keys(name.rpartition("/")[0])
        if first is None or second is None or found is None or found.data != b"second" or name not in listed:
            raise ObjectsDenied(f"{objects.address}: what is written there cannot be read back: give another --shared")
        if objects.exchange(name, b"third", None) or objects.exchange(name, b"third", first):
            raise ObjectsDenied(
                f"{objects.address}: this server ignores conditional writes (If-Match, If-None-Match), so a lost "
                "worker could overwrite what its successor has computed: use one that knows them, or a shared folder"
            )
    finally:
        objects.remove([name])
