"""What an object store's library says when something fails, told without what it must not tell.

Its texts hold whole requests and answers: addresses with tokens in them, key names, signatures. Only
the server's own code, known words and numbers are taken from them.
"""

import errno
import re

from study.errors import StoreError

#: Codes and statuses of S3 that pass by themselves; all others from 400 to 499 do not.
_PASSING_CODES = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"}
_PASSING_STATUSES = {408, 409, 425, 429}
_SERVER_ERRORS = 500
_RIGHTS = "to list the bucket, and to read, write and delete objects"
_WHERE = "in the environment of this command, and of `ray start` on every node"
_REMEDIES = {
    "NoSuchBucket": "make the bucket, or correct the name",
    "PermanentRedirect": f"the bucket lies in another region: set AWS_REGION {_WHERE}",
    "AuthorizationHeaderMalformed": f"the bucket lies in another region: set AWS_REGION {_WHERE}",
    "RequestTimeTooSkewed": "set the clock of this machine",
}


class ObjectsDenied(StoreError):
    """An object store that refuses what is asked, and will go on doing so."""


def meaning_of(address: str, text: str) -> StoreError:
    """Return the error to raise for a text of the library; an outage is one with `OSError` as its cause."""
    status = re.search(r"status code: (\d{3})", text)
    if status is None:
        return _unanswered(address, text)
    number, code = int(status[1]), _tag("Code", text)
    said = f"{number} {code}".strip()
    if number >= _SERVER_ERRORS or number in _PASSING_STATUSES or code in _PASSING_CODES:
        return _outage(f"{address} answers {said}")
    if code in _REMEDIES:
        return ObjectsDenied(f"{address} answers {said}: {_REMEDIES[code]}")
    if number in (401, 403) or code in ("ExpiredToken", "InvalidToken"):
        return ObjectsDenied(
            f"{address} answers {said}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY {_WHERE}, or give the machines "
            f"a role; they need the right {_RIGHTS}"
        )
    return ObjectsDenied(f"{address} answers {said}: check the address, AWS_ENDPOINT_URL and AWS_REGION")


def _tag(name: str, text: str) -> str:
    found = re.search(rf"<{name}>(\w+)</{name}>", text)
    return found[1] if found else ""


def _unanswered(address: str, text: str) -> StoreError:
    if "169.254.169.254" in text or "metadata.google" in text:
        return _outage(
            f"{address}: no keys were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY {_WHERE}, or give the "
            "machines a role"
        )
    if "builder error" in text or "UnknownConfigurationKey" in text or "Parse" in text:
        return ObjectsDenied(f"{address}: cannot be used: check the address and the AWS_* variables")
    return _outage(f"{address}: {_silence(text)}: check the network, and AWS_ENDPOINT_URL if it is not Amazon's")


def _silence(text: str) -> str:
    if "dns error" in text or "failed to lookup" in text:
        return "the name of its server is not known"
    if "refused" in text:
        return "its server refuses the connection"
    if "Timeout" in text or "timed out" in text:
        return "its server does not answer in time"
    return "its server does not answer"


def _outage(text: str) -> StoreError:
    error = StoreError(text)
    error.__cause__ = OSError(errno.EIO, "the object store does not answer")
    return error
