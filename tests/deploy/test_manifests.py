"""The files of deploy/ are read as their programs read them, and agree with the project's own versions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if re.match(r"\w+.*==", line)
)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


@pytest.fixture
def job() -> dict[str, Any]:
    """Return the specification of the RayJob."""
    specification: dict[str, Any] = documents("kuberay-rayjob.yaml")[1]["spec"]
    return specification


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_ray_accepts_the_cluster_of_workstations() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    [cluster] = documents("ray-cluster.yaml")
    assert cluster["max_workers"] == len(cluster["provider"]["worker_ips"])
    validate_config(prepare_config(cluster))


def test_every_ray_start_says_that_tokens_are_used() -> None:
    [cluster] = documents("ray-cluster.yaml")
    commands = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)


def test_the_job_has_what_kuberay_asks_for(job: dict[str, Any]) -> None:
    claim, manifest = documents("kuberay-rayjob.yaml")
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["rayClusterSpec"]
    assert cluster["rayVersion"] == PINS["ray"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    for group in cluster["workerGroupSpecs"]:
        assert {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"} <= set(group)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_all_pods_of_the_job_mount_the_store_from_one_claim(job: dict[str, Any]) -> None:
    claim = documents("kuberay-rayjob.yaml")[0]["metadata"]["name"]
    assert job["entrypoint"].endswith("--address auto --store /store/usplit_store")
    for pod in pods(job):
        [volume] = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        assert pod["containers"][0]["volumeMounts"] == [{"name": volume["name"], "mountPath": "/store"}]
    assert len({pod["containers"][0]["image"] for pod in pods(job)}) == 1


def test_the_tracking_server_listens_on_loopback_unless_told_otherwise() -> None:
    [compose] = documents("tracking/compose.yaml")
    services = compose["services"]
    assert services["server"]["ports"] == ["${LISTEN:-127.0.0.1}:5000:5000"]
    assert "ports" not in services["database"]
    assert set(compose["volumes"]) == {
        volume.partition(":")[0] for service in services.values() for volume in service["volumes"]
    }


def test_passwords_come_from_the_environment() -> None:
    text = (DEPLOY / "tracking/compose.yaml").read_text("utf-8")
    values = re.findall(r"^ +\w*(?:PASSWORD|SECRET|KEY)\w*: (.+)$", text, re.MULTILINE)
    assert len(values) == 4
    assert all(value.startswith("${") for value in values)
    assert not re.search(r"://\w+:\S+@", text)


@pytest.mark.parametrize(
    ("name", "package", "pattern"),
    [("Dockerfile", "ray", r"rayproject/ray:([\d.]+)-"), ("tracking/Dockerfile", "mlflow", r"mlflow==([\d.]+)")],
)
def test_images_hold_the_pinned_versions(name: str, package: str, pattern: str) -> None:
    assert re.findall(pattern, (DEPLOY / name).read_text("utf-8")) == [PINS[package]]


@pytest.mark.filterwarnings("ignore")  # of MLflow, while it is imported
def test_options_of_the_server_exist() -> None:
    from mlflow.cli import server

    [compose] = documents("tracking/compose.yaml")
    service = compose["services"]["server"]
    known = {option for parameter in server.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in service["command"] if word.startswith("--")} <= known
    variables = {parameter.envvar for parameter in server.params if isinstance(parameter.envvar, str)}
    named = {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_SERVER_ALLOWED_HOSTS"}
    assert named <= variables & set(service["environment"])
