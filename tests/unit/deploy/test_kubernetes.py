"""The manifests: against the schemas of Kubernetes where there are any, by what they must say everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.prometheus import operator

from pgbackfill.settings import Settings
from pgbackfill.settings_sources import variables

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml"))
KUSTOMIZATIONS = [path for path in FILES if path.name == "kustomization.yaml"]
MANIFESTS = [path for path in FILES if path not in KUSTOMIZATIONS]
OLDEST = "1.29"
"""The first version whose sidecar containers need no feature gate."""
CUSTOM = {"PodMonitor", "PrometheusRule"}
"""Of the Prometheus operator: Kubernetes itself has no schema for them."""
CHUNK_DEADLINE_S = 35
"""Five statement time-outs of 5 s and 10 s: the longest that a chunk can take with the defaults."""


def relative(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def load(path: Path) -> dict[str, Any]:
    (document,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = document
    return found


def base(name: str) -> dict[str, Any]:
    return load(FOLDER / "base" / f"{name}.yaml")


def pods() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """File, pod and the container of pgbackfill in it."""
    found = []
    for path in MANIFESTS:
        pod = load(path).get("spec", {}).get("template", {}).get("spec")
        if pod:
            (container,) = (
                c for c in [*pod["containers"], *pod.get("initContainers", [])] if c["name"] == "pgbackfill"
            )
            found.append((relative(path), pod, container))
    return found


PODS = pods()


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", MANIFESTS, ids=relative)
def test_every_manifest_is_what_kubernetes_takes(path: Path, version: str) -> None:
    manifest = load(path)
    if manifest["kind"] in CUSTOM:
        assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_manifest_is_found() -> None:
    manifest = base("deployment")
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(manifest, OLDEST, strict=True)


def test_every_manifest_belongs_to_a_kustomization_and_every_one_named_exists() -> None:
    named = set()
    for path in KUSTOMIZATIONS:
        content = load(path)
        paths = content.get("resources", []) + content.get("components", [])
        paths += [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        found = [(path.parent / each).resolve() for each in paths]
        assert [each for each in found if not each.exists()] == []
        named |= {each / "kustomization.yaml" if each.is_dir() else each for each in found}
    assert set(MANIFESTS) <= named
    assert {path for path in KUSTOMIZATIONS if path not in named} == {
        FOLDER / "overlays" / name / "kustomization.yaml" for name in ("example", "job", "sidecar", "several-databases")
    }


@pytest.mark.parametrize(("file", "pod", "container"), PODS, ids=[file for file, _, _ in PODS])
def test_a_pod_can_do_no_harm_and_has_time_to_finish_its_chunk(
    file: str, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert pod["terminationGracePeriodSeconds"] > CHUNK_DEADLINE_S
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert "cpu" not in container["resources"]["limits"]  # throttled, a chunk would hold its locks for longer
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert [port["name"] for port in container["ports"]] == ["http"]


def test_all_pods_give_the_container_the_same_room() -> None:
    shared = ("securityContext", "resources", "livenessProbe", "ports", "volumeMounts")
    first, *others = [{name: container[name] for name in shared} for _, _, container in PODS]
    assert len(others) == 2
    assert all(other == first for other in others)


def test_secrets_are_referred_to_and_never_written_down() -> None:
    assert [path for path in MANIFESTS if load(path)["kind"] == "Secret"] == []
    for path in FILES:
        assert not re.search(r"://[^/@\s]*:[^/@\s]*@", path.read_text(encoding="utf-8")), path
    for _, pod, _ in PODS:
        assert [volume["secret"]["secretName"] for volume in pod["volumes"]] == ["pgbackfill"]


def test_every_setting_is_one() -> None:
    named = {name for path in FILES for name in re.findall(r"\bPGBACKFILL_\w+", path.read_text(encoding="utf-8"))}
    assert named
    assert named <= {name.upper() for name in variables(Settings)}


def test_selectors_find_the_pods() -> None:
    (pairs,) = (each["pairs"] for each in load(FOLDER / "base" / "kustomization.yaml")["labels"])
    labels = base("deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        base("deployment")["spec"]["selector"]["matchLabels"],
        base("poddisruptionbudget")["spec"]["selector"]["matchLabels"],
        base("networkpolicy")["spec"]["podSelector"]["matchLabels"],
        base("service")["spec"]["selector"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    monitor = load(FOLDER / "components" / "monitoring" / "podmonitor.yaml")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= pairs.items()
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == ["http"]
    assert all("honorLabels" not in endpoint for endpoint in monitor["podMetricsEndpoints"])


def test_a_job_is_tried_again_only_where_that_helps() -> None:
    job = load(FOLDER / "overlays" / "job" / "job.yaml")["spec"]
    ignored, failed = job["podFailurePolicy"]["rules"]
    assert (ignored["action"], ignored["onPodConditions"]) == (
        "Ignore",
        [{"type": "DisruptionTarget", "status": "True"}],
    )
    assert (failed["action"], failed["onExitCodes"]["values"]) == ("FailJob", [1, 2])
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # what podFailurePolicy demands
    assert job["backoffLimit"] > 0
    ((_, _, container),) = (each for each in PODS if each[0].startswith("overlays/job"))
    assert container["args"] == ["run", "--drain"]


def test_the_operator_gets_the_rules_of_prometheus() -> None:
    assert operator.TARGET.read_text(encoding="utf-8") == operator.manifest()
    assert load(operator.TARGET)["spec"] == yaml.safe_load(operator.RULES.read_text(encoding="utf-8"))
