"""When failures are too many: a study whose trials all fail alike stops with one message."""

from collections import Counter

_REMEDIES = {
    "diverged": "lower train.learning_rate or train.gradient_clip",
    "memory": "lower train.batch_size, model.patch_px or model.filters",
    "storage": "make room in the store, or mend its file system",
    "user": "mend what the message says",
    "lost": "look at the nodes: workers were killed, or a node went away",
    "error": "see error.txt in the folders of these trials",
}


class FailureCount:
    """Counts the failures of one launch by kind."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, reason: str) -> str:
        """Count a failure; return why the study must stop, or nothing.

        Parameters
        ----------
        kind
            First word of the reason.
        reason
            Of this failure.
        """
        self._counts[kind] += 1
        count = self._counts[kind]
        if count <= self._allowed:
            return ""
        remedy = _REMEDIES.get(kind, "see the reasons in usplit status")
        return (
            f"{count} trials failed in the same way, and failures_allowed = {self._allowed}. The last one: {reason}. "
            f"Remedy: {remedy}; the same command then goes on"
        )
