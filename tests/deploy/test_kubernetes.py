"""The manifests: valid for the API they are for, run by nobody, patient enough, and in step with the gateway."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.metrics.catalogue import CATALOGUE
from gateway.settings import Settings, variable_names
from tests.deploy.kubernetes import FOLDER, Manifest, rendered, the
from tests.deploy.test_dockerfile import FINAL
from tests.deploy.test_dockerfile import the as the_instruction
from tests.support.environment import ROOT, finished

# The oldest that `preStop.sleep` is on in by default, and the newest that there is.
VERSIONS = ("1.30", "1.37")
RENDERED = ("base", "overlays/production")
# Kinds that an operator brings: their schemas are not Kubernetes' own.
FOREIGN = {"ServiceMonitor"}


def base() -> list[Manifest]:
    return rendered("base")


def production() -> list[Manifest]:
    return rendered("overlays/production")


def pod_of(deployment: Manifest) -> dict[str, Any]:
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def gateway_pod() -> dict[str, Any]:
    return pod_of(the(base(), "Deployment"))


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def deployments() -> list[Manifest]:
    return [one for one in production() if one["kind"] == "Deployment"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", RENDERED)
def test_every_manifest_is_what_the_api_takes_and_nothing_more(folder: str, version: str) -> None:
    manifests = rendered(folder)
    assert len(manifests) >= 7
    for manifest in manifests:
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_everything_that_is_there_is_in_the_example() -> None:
    named = {path.name for path in (FOLDER / "components").iterdir()}
    example = yaml.safe_load((FOLDER / "overlays/production/kustomization.yaml").read_text())
    assert {path.rpartition("/")[2] for path in example["components"]} == named


def test_selectors_choose_the_gateways_pods_and_no_others() -> None:
    ours = the(production(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    policy, budget = the(production(), "NetworkPolicy")["spec"], the(production(), "PodDisruptionBudget")["spec"]
    selectors = [
        the(production(), "Deployment")["spec"]["selector"]["matchLabels"],
        the(production(), "Service")["spec"]["selector"],
        budget["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in gateway_pod()["topologySpreadConstraints"]),
    ]
    assert all(selector == ours for selector in selectors)
    assert the(production(), "Deployment", "realtime-relay")["spec"]["selector"]["matchLabels"] != ours


def test_the_monitor_finds_the_service_and_a_port_of_its() -> None:
    monitor, service = the(production(), "ServiceMonitor")["spec"], the(production(), "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"


def test_browsers_reach_socket_io_and_nothing_else() -> None:
    (rule,) = the(production(), "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["path"] == "/socket.io/"
    service = the(production(), "Service")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]


def test_every_variable_is_a_setting() -> None:
    settings = the(production(), "ConfigMap")["data"]
    given = {entry["name"] for entry in container_of(gateway_pod())["env"]}
    assert settings.keys() | given <= set(variable_names())
    Settings(**{variable_names()[name]: value for name, value in settings.items()})


def test_no_service_puts_variables_of_its_own_into_the_environment() -> None:
    for deployment in deployments():
        assert pod_of(deployment)["enableServiceLinks"] is False
    for one in production():
        # GATEWAY_PORT=tcp://… would come from this, for anything else that runs in the namespace.
        assert one["kind"] != "Service" or not one["metadata"]["name"].startswith("gateway")


def test_secrets_are_named_and_never_written_down() -> None:
    assert not [one for one in production() if one["kind"] == "Secret"]
    for deployment in deployments():
        entries = container_of(pod_of(deployment))["env"]
        secret = [one for one in entries if re.search("SECRET|_URL|PASSWORD|KEY", one["name"])]
        assert len(secret) == 2
        assert all(set(one) == {"name", "valueFrom"} and "secretKeyRef" in one["valueFrom"] for one in secret)
    assert not [name for name in the(production(), "ConfigMap")["data"] if "SECRET" in name or "REDIS_URL" in name]


def test_it_is_given_the_time_that_it_takes_to_drain() -> None:
    grace_s = float(the(base(), "ConfigMap")["data"]["GATEWAY_SHUTDOWN_GRACE_S"])
    pause_s = container_of(gateway_pod())["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert gateway_pod()["terminationGracePeriodSeconds"] >= pause_s + grace_s + 5
    # The endpoints have to know first that it goes: a probe's worth of time, and a little.
    assert pause_s > container_of(gateway_pod())["readinessProbe"]["periodSeconds"]


def test_probes_ask_for_life_and_readiness_where_each_belongs() -> None:
    container = container_of(gateway_pod())
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {"http"}


def test_who_runs_it_has_no_rights_and_can_write_nothing() -> None:
    (user, group) = map(int, the_instruction(FINAL, "USER").rest.split(":"))
    for deployment in deployments():
        pod = pod_of(deployment)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (user, group)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container_of(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert "memory" in container_of(pod)["resources"]["limits"]


def test_an_update_adds_a_replica_before_it_takes_one_away() -> None:
    spec = the(base(), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] > 0
    assert "replicas" not in spec, "each `kubectl apply` would undo what the autoscaler did"
    assert the(base(), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_it_scales_on_cpu_and_on_a_metric_that_exists() -> None:
    (cpu,) = the(base(), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    both = the(production(), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert both[0] == cpu
    assert both[1]["pods"]["metric"]["name"] in {metric.name for metric in CATALOGUE}
    (rule,) = yaml.safe_load((FOLDER / "components/autoscale-on-sockets/adapter-rules.yaml").read_text())
    assert rule["name"]["as"] == both[1]["pods"]["metric"]["name"]
    assert rule["seriesQuery"].startswith(rule["name"]["as"] + "{")


def test_a_replica_is_taken_away_more_slowly_than_its_sockets_move() -> None:
    down = the(base(), "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
    assert gateway_pod()["terminationGracePeriodSeconds"] < 300


def test_replicas_may_hand_polls_to_each_other_and_strangers_may_not_come() -> None:
    spec = the(base(), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    peers = {"podSelector": spec["podSelector"]}
    assert all("from" in rule for rule in spec["ingress"])
    assert any(peers in rule["from"] for rule in spec["ingress"])
    assert any(peers in rule.get("to", []) for rule in spec["egress"])
    assert any(port == {"port": 6379} for rule in spec["egress"] for port in rule["ports"])


def test_the_relay_runs_the_command_that_the_image_has() -> None:
    relay = container_of(pod_of(the(production(), "Deployment", "realtime-relay")))
    assert relay["args"] == ["relay"]
    assert relay["image"] == container_of(pod_of(the(production(), "Deployment")))["image"]


def test_the_alerts_become_a_rule_of_the_operators_by_the_runbooks_command() -> None:
    (command,) = re.findall(r"^(\(printf .*?\)) \| kubectl", (ROOT / "deploy/README.md").read_text(), re.M | re.S)
    made = yaml.safe_load(finished(["sh", "-c", command], check=True, cwd=ROOT).stdout)
    plain = yaml.safe_load((ROOT / "deploy/alerts/gateway.rules.yaml").read_text())
    assert (made["kind"], made["metadata"]["name"]) == ("PrometheusRule", "realtime-gateway")
    assert made["spec"] == plain


def test_no_network_of_everybody_is_believed_about_the_clients_address() -> None:
    settings = the(production(), "ConfigMap", "realtime-gateway-settings")["data"]
    networks = [ip_network(text) for text in settings["GATEWAY_TRUSTED_PROXIES"].split(",")]
    assert networks
    assert all(network.num_addresses <= 256 for network in networks), networks
