"""Renders the recipes of examples/cluster and holds them to the schemas of Kubernetes: recipes.py HELM

Prints a line of JSON for each container: the recipe, the arguments, and the name of the container.
"""

import json
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

CLUSTER = pathlib.Path(__file__).parents[3] / "examples" / "cluster"
# The oldest that the chart allows, and the newest that is known.
VERSIONS = ["1.27", "1.37"]
# What the fields of KEDA's triggers are; its own schema is not among those of Kubernetes.
TRIGGERS = {
    "nats-jetstream": {"natsServerMonitoringEndpoint", "account", "stream", "consumer", "lagThreshold"},
    "prometheus": {"serverAddress", "query", "threshold"},
}
SETTINGS = {
    "chart": [],
    "chart with everything": [
        "nats.url=tls://nats:4222",
        "nats.credentialsSecret=nats-credentials",
        "worker.room=40",
        "autoscaling.enabled=true",
        "autoscaling.jetstream.consumer=1-12-live-0123",
        "autoscaling.prometheus.server=http://prometheus:9090",
    ],
}


def helm(*arguments):
    done = subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def containers(document):
    return document["spec"]["template"]["spec"]["containers"]


def hold(document):
    """Raises where a document is not what Kubernetes or KEDA reads."""
    if document["kind"] != "ScaledObject":
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                # The schema, which it would show as well, has hundreds of lines.
                place = "/".join(map(str, error.path))
                raise SystemExit(f"{document['kind']}, Kubernetes {version}: {place}: {error.message}")
        return
    assert document["apiVersion"] == "keda.sh/v1alpha1"
    for trigger in document["spec"]["triggers"]:
        metadata = trigger["metadata"]
        assert set(metadata) == TRIGGERS[trigger["type"]], metadata
        assert all(isinstance(value, str) and value for value in metadata.values()), metadata


def chart():
    code, said = helm("lint", "--strict", str(CLUSTER / "chart"))
    assert code == 0, said
    for name, settings in SETTINGS.items():
        set_each = [part for setting in settings for part in ("--set", setting)]
        code, text = helm("template", "captions", str(CLUSTER / "chart"), *set_each)
        assert code == 0, text
        documents = [document for document in yaml.safe_load_all(text) if document]
        kinds = [document["kind"] for document in documents]
        scaled = {document["spec"]["scaleTargetRef"]["name"] for document in documents if document["kind"] == "ScaledObject"}
        assert ("ScaledObject" in kinds) == bool(settings), kinds
        for document in documents:
            hold(document)
            if document["kind"] == "Deployment":
                # KEDA's number of replicas would be overwritten at each upgrade.
                assert ("replicas" in document["spec"]) != (document["metadata"]["name"] in scaled)
                for container in containers(document):
                    yield name, container["name"], container["args"]
    code, said = helm("template", "captions", str(CLUSTER / "chart"), "--set", "autoscaling.enabled=true")
    assert code != 0 and "nats consumer ls" in said, said


def compose():
    document = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
    services, volumes = document["services"], document["volumes"]
    for name, service in services.items():
        assert set(service.get("depends_on", [])) <= set(services), name
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            assert source in volumes or source.startswith("./"), volume
            assert target.startswith("/"), volume
        if "build" in service:
            recipe = CLUSTER / service["build"]["context"] / service["build"]["dockerfile"]
            assert recipe.is_file(), recipe
            yield "compose", name, service["command"]


for recipe, name, arguments in [*chart(), *compose()]:
    print(json.dumps({"recipe": recipe, "container": name, "arguments": arguments}))
