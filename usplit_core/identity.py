"""What makes two trainings the same: every setting that can change the result, and nothing else."""

from usplit_core.config import EVALUATION_SECTIONS, RunConfig
from usplit_core.settings import DEFAULT_VALUES, Setting, flatten
from usplit_core.variants import WITHOUT_EFFECT

#: Where something lies does not matter beside what it is.
PLACES = ("data.path", "data.axes", "data.channels", "objective.noise_model_path")
#: How often an interrupted training can be taken up does not matter for what comes out.
_UPKEEP = ("train.checkpoint_every_epochs",)


def identity(run: RunConfig) -> dict[str, Setting]:
    """Return the settings that can change the result of a training, as far as they differ from their defaults.

    A setting that a later version adds leaves earlier trainings what they were, as long as its
    default does what they did. The content of the images is not part of it.
    """
    ignored = {*PLACES, *_UPKEEP, *WITHOUT_EFFECT[run.model.architecture]}
    found = {
        name: value
        for name, value in flatten(run).items()
        if name not in ignored
        and name.partition(".")[0] not in EVALUATION_SECTIONS
        and (name not in DEFAULT_VALUES or DEFAULT_VALUES[name] != value)
    }
    if run.train.data_order_seed == run.train.seed:
        found.pop("train.data_seed", None)  # said twice
    return found
