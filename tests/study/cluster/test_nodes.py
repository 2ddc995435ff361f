"""What nodes say of themselves is judged before the first trial."""

from pathlib import Path

import pytest

from study.cluster import nodes
from study.cluster.findings import Finding, free_space, worst
from study.cluster.nodes import NodeReport, check_nodes, code_digest, judge, versions, versions_table
from study.cluster.storage import StoreView
from study.errors import ResourceError

OWN = {"python": "3.11.7", "torch": "2.13.0+cpu", "usplit": "0.1.0", "numerics": "2"}
STORE = StoreView("", 100 * 1024**3, 250.0)
GOOD = NodeReport("good", OWN, STORE)
ROOT = "/shared/store"


def grave(*reports: NodeReport) -> list[Finding]:
    return [finding for finding in judge(reports, OWN, ROOT) if finding.level != "ok"]


def test_equal_nodes_have_no_findings() -> None:
    assert grave(GOOD, GOOD._replace(name="other")) == []
    assert versions_table([GOOD], OWN) == []


@pytest.mark.parametrize(("name", "other"), [("python", "3.12.1"), ("torch", "2.12.0+cpu"), ("numerics", "1")])
def test_a_node_of_another_version_is_refused(name: str, other: str) -> None:
    report = GOOD._replace(name="old", versions={**OWN, name: other})
    [finding] = grave(GOOD, report)
    assert finding.level == "problem"
    assert finding.seen == f"{name} {other} (here {OWN[name]})"
    table = versions_table([GOOD, report], OWN)
    assert len(table) == 4
    assert other in table[-1]


def test_torch_for_gpus_beside_torch_for_cpus_is_a_warning() -> None:
    [finding] = grave(GOOD._replace(versions={**OWN, "torch": "2.13.0+cu130"}))
    assert finding.level == "warning"


def test_a_token_on_one_side_only_names_the_variable() -> None:
    own = {**OWN, "token": "yes"}
    [finding] = [found for found in judge([GOOD._replace(versions={**OWN, "token": "no"})], own, ROOT) if found.remedy]
    assert finding.level == "problem"
    assert "RAY_AUTH_MODE" in finding.remedy


def test_a_local_path_with_several_nodes_is_refused_with_the_remedy() -> None:
    [finding] = grave(GOOD, GOOD._replace(name="far", store=StoreView("there is no such folder")))
    assert (finding.level, finding.what) == ("problem", "node far, store")
    assert "NFS" in finding.remedy


def test_a_silent_node_is_named() -> None:
    [finding] = grave(GOOD, NodeReport("mute", {}, StoreView(""), silence="no answer in 30 s"))
    assert (finding.what, finding.seen) == ("node mute", "no answer in 30 s")


def test_a_node_without_the_package_is_told_to_install_it() -> None:
    silence = "ModuleNotFoundError: No module named 'study'"
    [finding] = grave(NodeReport("bare", {}, StoreView(""), silence=silence))
    assert "install the same version of usplit-study" in finding.remedy


@pytest.mark.parametrize(
    ("counted", "visible", "level"), [(4, 4, "ok"), (4, 0, "problem"), (2, 4, "warning"), (4, None, "warning")]
)
def test_gpus_that_torch_sees_are_held_against_those_that_ray_counts(
    counted: int, visible: int | None, level: str
) -> None:
    found = judge([GOOD._replace(gpus_counted=counted, gpus_visible=visible)], OWN, ROOT)
    assert found[-1].what == "node good, GPUs"
    assert found[-1].level == level


@pytest.mark.parametrize(("gibibytes", "level"), [(100, "ok"), (5, "warning"), (0.5, "problem")])
def test_little_space_is_warned_of_and_hardly_any_refused(gibibytes: float, level: str) -> None:
    assert free_space("store", int(gibibytes * 1024**3)).level == level


def test_the_gravest_finding_counts() -> None:
    levels = [Finding("ok", "a", ""), Finding("problem", "b", ""), Finding("warning", "c", "")]
    assert [worst(levels), worst(levels[::2]), worst(levels[:1]), worst([])] == ["problem", "warning", "ok", "ok"]


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = NodeReport("bad", {**versions(), "ray": "2.9.0"}, StoreView("there is no such folder"))
    monkeypatch.setattr(nodes, "inspect", lambda address, timeout_s: [bad])
    with pytest.raises(ResourceError) as refused:
        check_nodes(ROOT)
    assert "2 problems" in str(refused.value)
    assert "node bad, store: /shared/store: there is no such folder" in str(refused.value)
    assert "2.9.0" in str(refused.value).splitlines()[-1]


def test_a_node_that_cannot_use_the_object_store_is_told_about_its_environment() -> None:
    report = GOOD._replace(store=StoreView("it cannot be read and written (403)"))
    [finding] = [found for found in judge([report], OWN, "s3://bucket/group") if found.level != "ok"]
    assert finding.seen == "s3://bucket/group: it cannot be read and written (403)"
    assert "AWS_*" in finding.remedy


def test_the_digest_of_the_code_changes_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.py").write_text("x = 1\n")
    before = code_digest(tmp_path)
    (tmp_path / "study" / "a.py").write_text("x = 2\n")
    assert code_digest(tmp_path) != before


def test_nodes_of_one_host_have_different_names() -> None:
    named = nodes._with_distinct_names([GOOD, GOOD, GOOD._replace(name="other")], ["10.0.0.1"] * 3)
    assert [report.name for report in named] == ["good (10.0.0.1, node 1)", "good (10.0.0.1, node 2)", "other"]
