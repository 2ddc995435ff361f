"""What one trial occupies while it runs."""

from dataclasses import dataclass

from usplit_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies while it runs.

    Attributes
    ----------
    cpus
        Cores, which is also the number of threads that a trial computes with.
    gpus
        GPUs or a fraction of one; None = one where the machine has any, else none.
    """

    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if type(self.cpus) is not int or self.cpus < 1:
            raise ConfigError(f"resources.cpus = {self.cpus}: a trial needs one core, or a whole number of them")
        if self.gpus is not None and not (0 <= self.gpus <= 1 or self.gpus == int(self.gpus)):
            raise ConfigError(f"resources.gpus = {self.gpus}: use a fraction up to 1, or a whole number")
