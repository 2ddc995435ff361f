"""`usplit dashboard`: MLflow's pages on a store."""

import os
import socket
import sys
from pathlib import Path

from study import environment
from study.errors import StoreError
from study.store import existing_store, without_password

#: A browser that is new to MLflow is shown its pages for language models, whatever an experiment's tags say; the
#: address alone chooses others, on each page anew.
_PAGES = "?workflowType=machine_learning"
_MOST_STUDIES = 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def dashboard_command(store: Path, host: str, port: int) -> None:
    """Become the MLflow server of a store until it is stopped.

    Raises
    ------
    StoreError
        If there is no such store, or the port is taken.
    """
    places = existing_store(store)
    if places.server is not None:
        sys.stdout.write(f"This store is shown on its tracking server: {without_password(places.server)}\n")
        return
    _check_port(host, port)
    from study.tracking.client import connect

    environment.set_defaults()
    # A store holds results to look at: no jobs are run for it, and one worker suffices.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    sys.stdout.write(
        f"MLflow dashboard of {places.root}: http://{host}:{port}/#/experiments{_PAGES}  (Ctrl-C ends it)\n"
    )
    for experiment in connect(places.tracking_uri).search_experiments(max_results=_MOST_STUDIES):
        if experiment.name != "Default":
            address = f"http://{host}:{port}/#/experiments/{experiment.experiment_id}/runs{_PAGES}"
            sys.stdout.write(f"  {experiment.name}: {address}\n")
    if host not in _LOOPBACK:
        sys.stdout.write(f"note: {host} lets other machines read and change this store, without a password\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", places.tracking_uri]
    command += ["--default-artifact-root", (places.root / "artifacts").as_uri()]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    os.execv(command[0], command)


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StoreError(f"--port {port} on {host}: {error.strerror}; choose another with --port") from None
