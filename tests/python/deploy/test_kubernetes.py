"""The manifests of deploy/kubernetes: right by Kubernetes' schemas, and by what our programs do."""

import contextlib
import copy
import json
import pathlib
import random
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from pipeserve_native import _cli, _demo
from pipeserve_native.client import Client

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
yaml = pytest.importorskip("yaml")

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "deploy/kubernetes"
OLDEST = "1.32"  # README.md says so.
BIN = pathlib.Path(sys.executable).parent
SECONDS = 60


def documents(name="*.yaml"):
    return [
        document
        for path in sorted(FOLDER.glob(name))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document["kind"] != "Kustomization"
    ]


def find(kind, name):
    (found,) = (
        document
        for document in documents()
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found


def pod_of(kind, name):
    return find(kind, name)["spec"]["template"]["spec"]


def container_of(kind, name):
    (container,) = pod_of(kind, name)["containers"]
    return container


SERVER = ("Deployment", "pipeserve-server")
AGENTS = ("StatefulSet", "pipeserve-agents")


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize(
    "document", documents(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_manifest_follows_the_schema(document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_they_do_not_know():
    wrong = copy.deepcopy(find(*SERVER))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_the_kustomization_has_every_file():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    images = {container_of(*each)["image"] for each in (SERVER, AGENTS)}
    assert {image["name"] for image in kustomization["images"]} == images


def test_ports_are_those_that_the_programs_listen_at():
    container = container_of(*SERVER)
    args = _cli._parser().parse_args(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    addresses = {
        "grpc": args.grpc_address,
        "rest": args.rest_address,
        "hub": args.distributed_address,
    }
    assert {name: f"0.0.0.0:{port}" for name, port in ports.items()} == addresses
    for service in ("pipeserve", "pipeserve-hub"):
        for port in find("Service", service)["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    agent = container_of(*AGENTS)
    (peers,) = agent["ports"]
    assert f"--listen=$(POD_IP):{peers['containerPort']}" in agent["args"]
    assert f"--server=pipeserve-hub:{ports['hub']}" in agent["args"]
    assert find("Service", "pipeserve-hub")["spec"]["publishNotReadyAddresses"]


def test_selectors_select_the_pods():
    labels = {
        kind: find(kind, name)["spec"]["template"]["metadata"]["labels"]
        for kind, name in (SERVER, AGENTS)
    }

    def selected(selector):
        return {kind for kind, has in labels.items() if selector.items() <= has.items()}

    for kind, name in (SERVER, AGENTS):
        assert selected(find(kind, name)["spec"]["selector"]["matchLabels"]) == {kind}
    assert selected(find("Service", "pipeserve")["spec"]["selector"]) == {"Deployment"}
    assert selected(find("Service", "pipeserve-hub")["spec"]["selector"]) == {"Deployment"}
    assert selected(find("Service", "pipeserve-agents")["spec"]["selector"]) == {"StatefulSet"}
    budget = find("PodDisruptionBudget", "pipeserve")["spec"]["selector"]["matchLabels"]
    assert selected(budget) == set(labels)
    for kind, name in (SERVER, AGENTS):
        policy = find("NetworkPolicy", name)["spec"]
        assert selected(policy["podSelector"]["matchLabels"]) == {kind}
        ports = {port["name"] for port in container_of(kind, name)["ports"]}
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports


def test_all_agree_on_the_number_of_ranks():
    ranks = find(*AGENTS)["spec"]["replicas"]
    data = find("ConfigMap", "pipeserve-servable")["data"]
    assert f"--rank-size={ranks}" in container_of(*AGENTS)["args"]
    assert data["servable_config.py"] == _demo.config(_demo.declare_distributed(ranks))
    (server,) = json.loads(data["rank_table.json"])["server_list"]
    assert [device["rank_id"] for device in server["device"]] == [str(r) for r in range(ranks)]


def test_a_pod_has_time_to_finish_its_requests():
    args = _cli._parser().parse_args(container_of(*SERVER)["args"])
    leaving = container_of(*SERVER)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod_of(*SERVER)["terminationGracePeriodSeconds"]
    assert grace >= leaving + args.max_request_seconds + 10


def test_the_server_is_not_process_1():
    """Which the kernel lets ignore SIGTERM while Python has no handler for it."""
    assert pod_of(*SERVER)["shareProcessNamespace"]


def test_containers_run_without_rights():
    for each in (SERVER, AGENTS):
        assert pod_of(*each)["securityContext"]["runAsNonRoot"]
        security = container_of(*each)["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}


class Cluster:
    """What kubelet makes of the manifests: processes, each with an IP of its own as pods have."""

    def __init__(self, start, folder):
        self._start = start
        self._folder = folder
        self._network = f"127.{random.randrange(1, 255)}.{random.randrange(255)}."
        self.server_ip = self._network + "100"

    def _run(self, container, variables):
        mounts = {
            mount["mountPath"]: str(
                self._folder / mount["name"] / pathlib.Path(mount["mountPath"]).name
            )
            for mount in container["volumeMounts"]
        }

        def expand(text):
            text = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], text)
            for path, there in mounts.items():
                text = re.sub(rf"(?<![^=]){path}\b", there, text)
            return re.sub(r"(0\.0\.0\.0|127\.0\.0\.1|pipeserve-hub):", f"{self.server_ip}:", text)

        (program,) = container["command"]
        return self._start(BIN / program, *map(expand, container["args"]))

    def start_server(self):
        return self._run(container_of(*SERVER), {})

    def start_agent(self, rank):
        container = container_of(*AGENTS)
        values = {
            "metadata.labels['apps.kubernetes.io/pod-index']": str(rank),
            "status.podIP": f"{self._network}{rank + 1}",
        }
        variables = {
            each["name"]: values[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in container["env"]
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return self._run(container, variables)

    def port(self, name):
        (port,) = (p for p in container_of(*SERVER)["ports"] if p["name"] == name)
        return port["containerPort"]

    def passes(self, probe):
        """Whether a probe of the server's container succeeds."""
        wanted = container_of(*SERVER)[probe]
        if "tcpSocket" in wanted:
            with contextlib.suppress(OSError):
                address = (self.server_ip, self.port(wanted["tcpSocket"]["port"]))
                socket.create_connection(address, timeout=2).close()
                return True
            return False
        get = wanted["httpGet"]
        url = f"http://{self.server_ip}:{self.port(get['port'])}{get['path']}"
        with contextlib.suppress(urllib.error.URLError):
            return urllib.request.urlopen(url, timeout=2).status == 200
        return False

    def state(self):
        return self.passes("livenessProbe"), self.passes("readinessProbe")


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def test_what_the_manifests_start_serves_and_tells_life_from_readiness(start, tmp_path):
    _demo.write(str(tmp_path / "models"))
    (tmp_path / "models/model").rename(tmp_path / "models/models")
    config = find("ConfigMap", "pipeserve-servable")["data"]
    (tmp_path / "servable/matmul").mkdir(parents=True)
    for name, text in config.items():
        (tmp_path / "servable/matmul" / name).write_text(text)
    cluster = Cluster(start, tmp_path)

    server = cluster.start_server()
    server.wait_for("Waiting for 8 agents")
    assert cluster.passes("startupProbe")
    assert cluster.state() == (True, False)

    agents = [cluster.start_agent(rank) for rank in range(8)]
    until(lambda: cluster.state() == (True, True))
    ones = np.ones((128, 96), np.float32)
    client = Client(f"{cluster.server_ip}:{cluster.port('grpc')}", "matmul", "predict")
    (reply,) = client.infer({"x": ones, "y": ones})
    assert (reply["x"] == -96).all() and (reply["z"] == -144).all()

    agents[3].process.send_signal(signal.SIGKILL)
    until(lambda: cluster.state() == (True, False))
    agents[3] = cluster.start_agent(3)
    until(lambda: cluster.state() == (True, True))
    (reply,) = client.infer({"x": ones, "y": ones})
    assert (reply["x"] == -96).all()

    assert server.terminate() == 0
    for agent in agents:
        assert agent.wait() == 0  # Their server told them to end; kubelet starts them again.


def test_the_image_has_the_user_of_the_pods():
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    for each in (SERVER, AGENTS):
        user = pod_of(*each)["securityContext"]
        assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in text
