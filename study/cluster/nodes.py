"""What every node of a cluster says of itself, and what is wrong with it.

A task is pinned to each node before the first trial. Differing versions would train with other
numbers or not at all, and Ray tells neither.
"""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from study.cluster.findings import Finding, free_space
from study.cluster.storage import StoreView, answer, asked, is_object_store, open_storage, unanswered
from study.errors import ResourceError
from usplit_core import NUMERICS_VERSION, __version__

#: A node that says nothing for so long is named; counting GPUs loads torch, which takes longer.
ANSWER_S = 30.0
_GPU_ANSWER_S = 90.0


class NodeReport(NamedTuple):
    """One node as it describes itself.

    Attributes
    ----------
    name
        Host name or address.
    versions
        As `versions` returns them; empty if the node did not say.
    store
        The store as seen from there.
    gpus_counted, gpus_visible
        GPUs that Ray hands out there, and GPUs that torch sees; None = not asked.
    silence
        Why nothing is known of the node, empty if it answered.
    """

    name: str
    versions: Mapping[str, str]
    store: StoreView
    gpus_counted: int = 0
    gpus_visible: int | None = None
    silence: str = ""


def versions() -> dict[str, str]:
    """Return what must be the same on every node: versions, code, and whether Ray's token is used."""
    return {
        "python": platform.python_version(),
        "ray": version("ray"),
        "torch": version("torch"),
        "usplit": __version__,
        "numerics": str(NUMERICS_VERSION),
        "code": code_digest(Path(__file__).parents[2]),
        # With the token on one side only, tasks run and actors die without a reason that names it.
        "token": "yes" if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else "no",
    }


def code_digest(root: Path) -> str:
    """Return a short hash of the code that trials run: editable installations of one version may differ."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(path for room in ("usplit_core", "study") for path in (root / room).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def inspect(address: str, *, timeout_s: float = ANSWER_S) -> list[NodeReport]:
    """Ask every node of the connected cluster; one that is lost meanwhile is left out.

    Parameters
    ----------
    address
        What the nodes share: the path of the store, or the address of an object store.
    timeout_s
        How long to wait for an answer.

    Raises
    ------
    StoreError
        If the driver itself cannot use it.
    """
    storage = open_storage(address)
    nodes = _living_nodes()
    identities = [node["NodeID"] for node in nodes]
    with asked(storage) as nonce:
        looking = [_ask(node, address, nonce.folder) for node in identities]
        counting = [_ask(node["NodeID"], None, None) if node["Resources"].get("GPU") else None for node in nodes]
        answers = [_answer_of(task, timeout_s) for task in looking]
        fine = [node for node, said in zip(identities, answers, strict=True) if _fine(said)]
        missing = unanswered(storage, nonce, fine)
    living = {node["NodeID"] for node in _living_nodes()}
    reports, addresses = [], []
    for node, said, gpus in zip(nodes, answers, counting, strict=True):
        if isinstance(said, str) and node["NodeID"] not in living:
            continue  # lost before it could answer; Ray notices after some ten seconds
        report = _report(node, said, is_missing=node["NodeID"] in missing)
        if gpus is not None and not report.silence:
            seen = _answer_of(gpus, _GPU_ANSWER_S)
            report = report._replace(gpus_visible=seen["gpus"] if isinstance(seen, dict) else None)
        reports.append(report)
        addresses.append(node["NodeManagerAddress"])
    return _with_distinct_names(reports, addresses)


def _living_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call] # Ray's gap


def _report(node: Mapping[str, Any], said: dict[str, Any] | str, *, is_missing: bool) -> NodeReport:
    name = node["NodeManagerHostname"] or node["NodeManagerAddress"]
    counted = int(node["Resources"].get("GPU", 0))
    if isinstance(said, str):
        return NodeReport(name, {}, StoreView(""), counted, silence=said)
    store = StoreView("what it writes does not reach the driver") if is_missing else StoreView(*said["store"])
    return NodeReport(name, said["versions"], store, counted)


def _with_distinct_names(reports: Sequence[NodeReport], addresses: Sequence[str]) -> list[NodeReport]:
    """Return reports whose names tell several nodes of one host apart."""
    named = []
    for number, (report, address) in enumerate(zip(reports, addresses, strict=True), start=1):
        is_alone = sum(other.name == report.name for other in reports) == 1
        named.append(report if is_alone else report._replace(name=f"{report.name} ({address}, node {number})"))
    return named


def _fine(said: dict[str, Any] | str) -> bool:
    return isinstance(said, dict) and not said["store"][0]


def _ask(node: str, address: str | None, folder: str | None) -> Any:
    """Start a task on one node; it occupies nothing, so it runs beside whatever is there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # A local function travels whole, so a node that lacks this package says so in plain words.
    def look() -> dict[str, Any]:
        from study.cluster import nodes

        if address is None or folder is None:
            return {"gpus": nodes.visible_gpus()}
        return nodes.look_around(address, folder, node)

    pinned = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(look).options(scheduling_strategy=pinned).remote()


def _answer_of(task: Any, timeout_s: float) -> dict[str, Any] | str:
    """Return what a task returned, or why it returned nothing."""
    import ray

    try:
        found: dict[str, Any] = ray.get(task, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        return f"no answer in {timeout_s:.0f} s"
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[-1] if lines else type(error).__name__
    return found


def look_around(address: str, folder: str, node: str) -> dict[str, Any]:
    """Describe the node that this runs on."""
    return {"versions": versions(), "store": tuple(answer(address, folder, node))}


def visible_gpus() -> int:
    """Return how many GPUs torch sees on this node, as Ray's own process there does.

    Ray hides the GPUs from a task that asks for none, so torch is asked in a process of its own.
    """
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    parent = Path(f"/proc/{os.getppid()}/environ")
    entries = parent.read_bytes().split(b"\0") if parent.exists() else []
    for entry in entries:
        name, _, value = entry.decode(errors="replace").partition("=")
        if name == "CUDA_VISIBLE_DEVICES":
            environment[name] = value
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def judge(reports: Sequence[NodeReport], own: Mapping[str, str], address: str) -> list[Finding]:
    """Return what is wrong with nodes, and what is fine.

    Parameters
    ----------
    reports
        One a node.
    own
        `versions` of the driver.
    address
        What the nodes share, as for `inspect`.
    """
    found = []
    for report in reports:
        what = f"node {report.name}"
        if report.silence:
            found.append(Finding("problem", what, report.silence, _silence_remedy(report.silence)))
            continue
        found += [_judge_versions(report, own), _judge_store(report, address, alone=len(reports) == 1)]
        if not report.store.problem:
            found.append(free_space(f"{what}, space", report.store.free_bytes))
        found += _judge_gpus(report)
    return found


def _silence_remedy(silence: str) -> str:
    if "ModuleNotFoundError" in silence:
        return "install the same version of usplit-study in the environment that starts Ray there"
    return "look at the node (ray status, its log in /tmp/ray/session_latest/logs), or take it out of the cluster"


def _judge_versions(report: NodeReport, own: Mapping[str, str]) -> Finding:
    what = f"node {report.name}, versions"
    differing = [name for name in own if report.versions.get(name) != own[name]]
    # Builds of one torch for CPU and for GPU stand side by side in a mixed cluster.
    grave = [name for name in differing if _public(report.versions.get(name, "")) != _public(own[name])]
    seen = ", ".join(f"{name} {report.versions.get(name, 'missing')} (here {own[name]})" for name in differing)
    if grave:
        remedy = "install the same versions on every node, best from one environment in a shared folder"
        if differing == ["token"]:
            remedy = "set RAY_AUTH_MODE to the same on every node and here (token is safer), and start Ray again"
        return Finding("problem", what, seen, remedy)
    if differing:
        return Finding("warning", what, seen, "numbers of CPU and GPU trials differ in the last digits")
    return Finding("ok", what, "the same as here")


def _public(text: str) -> str:
    return text.partition("+")[0]


def _judge_store(report: NodeReport, address: str, *, alone: bool) -> Finding:
    what = f"node {report.name}, store"
    if not report.store.problem:
        return Finding("ok", what, f"read and written at {report.store.megabytes_per_second:.0f} MB/s")
    remedy = f"check that {address} can be read and written by the user who runs Ray there"
    if is_object_store(address):
        remedy = "set the same AWS_* variables, keys or role included, where `ray start` is called there"
    elif not alone:
        remedy = "name a --store in a folder that every node mounts under the same path, such as NFS, or use --shared"
    return Finding("problem", what, f"{address}: {report.store.problem}", remedy)


def _judge_gpus(report: NodeReport) -> list[Finding]:
    if not report.gpus_counted:
        return []
    what = f"node {report.name}, GPUs"
    seen = f"Ray counts {report.gpus_counted}, torch sees {report.gpus_visible}"
    if report.gpus_visible is None:
        return [Finding("warning", what, "torch did not answer in time", "run nvidia-smi there")]
    if report.gpus_visible < report.gpus_counted:
        return [Finding("problem", what, seen, "install torch for CUDA there, or start Ray with the true --num-gpus")]
    if report.gpus_visible > report.gpus_counted:
        return [Finding("warning", what, seen, "GPUs stay idle: start Ray there without --num-gpus")]
    return [Finding("ok", what, seen)]


def check_nodes(address: str, *, timeout_s: float = ANSWER_S) -> list[Finding]:
    """Refuse a cluster that would fail later; return what was found. `address` is what the nodes share.

    Raises
    ------
    ResourceError
        With every problem, and the table of versions where they differ.
    """
    reports = inspect(address, timeout_s=timeout_s)
    findings = judge(reports, versions(), address)
    problems = [finding for finding in findings if finding.level == "problem"]
    if problems:
        lines = [f"{problem.what}: {problem.seen}: {problem.remedy}" for problem in problems]
        table = versions_table(reports, versions())
        raise ResourceError(
            "\n".join([f"the cluster cannot run this study ({len(problems)} problems)", *lines, *table])
        )
    return findings


def versions_table(reports: Sequence[NodeReport], own: Mapping[str, str]) -> list[str]:
    """Return a table of all versions, a line for each node; nothing where they are the same everywhere."""
    if all(report.versions in (own, {}) for report in reports):
        return []
    rows = [["", *own], ["here", *own.values()]]
    rows += [[report.name, *(report.versions.get(name, "?") for name in own)] for report in reports]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
