"""What an object store answers is understood, and told without what must not be told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from study.engine.outage import is_outage
from study.errors import StoreError
from study.sharing import objects
from study.sharing.objects import Objects, Version, check_address, open_objects, try_out
from study.sharing.reasons import meaning_of

ADDRESS = "s3://studies/group"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    open_objects.cache_clear()
    yield
    open_objects.cache_clear()


def answer(status: int, code: str) -> str:
    """Return what the library says of an answer: everything."""
    return (
        "Generic S3 error: Error performing PUT http://host/studies/group/a?X-Amz-Security-Token=t0ken in 4ms - "
        f"Server returned non-2xx status code: {status} Some: <Error><Code>{code}</Code>"
        "<AWSAccessKeyId>AKIAKEY</AWSAccessKeyId><StringToSign>s1gn</StringToSign></Error>"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer(404, "NoSuchBucket"), "404 NoSuchBucket: make the bucket"),
        (answer(403, "AccessDenied"), "403 AccessDenied: set AWS_ACCESS_KEY_ID"),
        (answer(403, "SignatureDoesNotMatch"), "AWS_SECRET_ACCESS_KEY"),
        (answer(400, "ExpiredToken"), "400 ExpiredToken: set AWS_ACCESS_KEY_ID"),
        (answer(301, "PermanentRedirect"), "set AWS_REGION"),
        (answer(405, "MethodNotAllowed"), "check the address"),
    ],
)
def test_a_mistake_is_told_with_its_remedy_and_is_no_outage(text: str, words: str) -> None:
    meant = meaning_of(ADDRESS, text)
    assert ADDRESS in str(meant)
    assert words in str(meant)
    assert not is_outage(meant)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer(503, "SlowDown"), "answers 503 SlowDown"),
        (answer(500, "InternalError"), "answers 500"),
        (answer(400, "RequestTimeout"), "answers 400 RequestTimeout"),
        ("HTTP error: error sending request: Connect … Connection refused", "refuses the connection"),
        ("HTTP error: kind: Timeout", "does not answer in time"),
        ("HTTP error: dns error: failed to lookup address", "the name of its server is not known"),
        ("Error performing PUT http://169.254.169.254/latest/api/token", "no keys were found: set AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_server_that_is_away_or_overloaded_is_an_outage(text: str, words: str) -> None:
    meant = meaning_of(ADDRESS, text)
    assert words in str(meant)
    assert is_outage(meant)


@pytest.mark.parametrize("status", [301, 403, 404, 503])
def test_no_key_token_or_signature_is_repeated(status: int) -> None:
    meant = meaning_of(ADDRESS, answer(status, "AccessDenied"))
    said = f"{meant} {meant.__cause__}"
    assert not any(secret in said for secret in ("AKIAKEY", "t0ken", "s1gn"))


def test_an_object_store_passes_and_keeps_nothing() -> None:
    place = open_objects("memory:///tried")
    try_out(place, "check/a")
    assert place.keys("") == []


def test_a_server_without_conditional_writes_is_refused() -> None:
    class Forgetful(Objects):
        def exchange(self, key: str, data: bytes, seen: Version | None) -> Version | None:
            self.write(key, data)
            return Version("always", None)

    place = Forgetful("memory:///forgetful", MemoryStore())
    with pytest.raises(StoreError, match=r"(cannot be read back|ignores conditional writes)"):
        try_out(place, "check/a")
    assert place.keys("") == []


def test_a_large_file_arrives_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PART_BYTES", 1000)
    place, content = open_objects("memory:///large"), bytes(range(256)) * 10
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        place.write("a", file)
    with (tmp_path / "copy").open("wb") as file:
        assert place.download("a", len(content), file)
        assert not place.download("none", 1, file)
    assert (tmp_path / "copy").read_bytes() == content


def test_an_object_is_replaced_by_who_has_seen_it_alone() -> None:
    place = open_objects("memory:///replaced")
    first = place.exchange("a", b"1", None)
    assert first is not None
    assert place.exchange("a", b"2", None) is None
    assert place.exchange("a", b"2", first) is not None
    assert place.exchange("a", b"3", first) is None
    found = place.read("a")
    assert found is not None
    assert found.data == b"2"
    place.remove(["a"])
    assert place.read("a") is None


def test_a_server_that_speaks_plain_http_must_be_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage.example.org")
    with pytest.raises(StoreError, match="set AWS_ALLOW_HTTP=true"):
        open_objects(ADDRESS)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    open_objects(ADDRESS)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(StoreError, match=r"pip install 'usplit-study\[objectstore\]'"):
        open_objects(ADDRESS)


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/a/b", "gs://bucket/a", "az://container/a-b_c"])
def test_addresses_of_object_stores_pass(address: str) -> None:
    check_address(address)
