"""What the libraries underneath are told before they are imported: no telemetry, no noise."""

import logging
import os
import warnings

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # It would print the address of every run that ends.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # What a tracking server lacks is sent again later: nobody need wait minutes for one that is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "RAY_USAGE_STATS_ENABLED": "0",
    # So many trials wait for a device: Tune keeps the worker of a trial that has ended only where another waits.
    "TUNE_MAX_PENDING_TRIALS_PG": "8",
    # Progress is shown by study/engine/progress.py.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ray 2.60 announces a change of a later version at every start.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Workers keep the directory of the command, so relative paths mean the same everywhere.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The ledger and the trial folders are the record; Tune's own log files would only repeat it.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


def set_defaults() -> None:
    """Set environment variables and filters, each unless the user has set it."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # In a notebook, tqdm misses widgets that nothing here shows.
    warnings.filterwarnings("ignore", message="IProgress not found")
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 will drop; nothing that a user could mend.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
