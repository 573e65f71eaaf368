"""The files of deploy/: what each says, and what its own tools say of it where they are there."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pyrite.serving import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = load_settings(environment={})


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(head, rest) for line in lines if line for head, _, rest in [line.partition(" ")]]


def manifests() -> dict[str, dict[str, Any]]:
    text = (DEPLOY / "kubernetes/pyrite.yaml").read_text("utf-8")
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


def test_the_images_run_as_a_user_without_rights_and_have_a_health_check() -> None:
    said = instructions()
    stages = [rest.split(" AS ")[1] for head, rest in said if head == "FROM"]
    assert stages[-1] == "serve"
    assert "train" in stages
    assert [rest for head, rest in said if head == "USER"] == ["10001:10001"]
    assert [head for head, _ in said].count("HEALTHCHECK") == 1
    # All extras that it installs are there, and nothing but what .dockerignore lets in is copied.
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for names in re.findall(r"'\.\[([\w,]+)\]'", " ".join(rest for _, rest in said)):
        assert set(names.split(",")) <= extras.keys()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {name for head, rest in said if head == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_runs_the_server_with_as_little_as_it_needs() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["pyrite"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert service["build"]["target"] == "serve"
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert int(service["stop_grace_period"].removesuffix("s")) > SETTINGS.shutdown_seconds
    assert load_settings(environment=service["environment"]).profile == "strict"


def test_the_deployment_has_probes_limits_and_no_rights() -> None:
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > SETTINGS.shutdown_seconds
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(container["resources"]) == {"requests", "limits"}
    assert [port["containerPort"] for port in container["ports"]] == [SETTINGS.port]
    plain = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert load_settings(environment=plain).profile == "strict"


def test_names_and_labels_of_the_manifests_fit_together_and_nothing_leaves() -> None:
    found = manifests()
    assert set(found) == {"Deployment", "Service", "NetworkPolicy"}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    policy = found["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert "Egress" in policy["policyTypes"]
    assert policy["egress"] == []
    names = {port["name"] for port in found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= names


def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "pyrite.service").read_text("utf-8")
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0]) > SETTINGS.shutdown_seconds
    assert "DynamicUser=yes" in text
    # It must not miss the program that it would start.
    unit = tmp_path / "pyrite.service"
    unit.write_text(text.replace("/opt/pyrite/bin/pyrite", "/bin/true"))
    done = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pyrite.service" not in done.stderr


def test_nginx_takes_its_sample(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    assert int(re.findall(r"client_max_body_size (\d+)m", text)[0]) * 1e6 >= SETTINGS.max_request_bytes
    assert int(re.findall(r"proxy_read_timeout (\d+)s", text)[0]) > SETTINGS.request_seconds
    key, certificate = tmp_path / "pyrite.example.key", tmp_path / "pyrite.example.pem"
    nginx = tool("nginx")
    openssl = [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*openssl, "-subj", "/CN=x", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    text = text.replace("pyrite.example.pem;", f"{certificate};").replace("pyrite.example.key;", f"{key};")
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}")
    done = subprocess.run([nginx, "-t", "-c", whole, "-p", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_caddy_takes_its_sample() -> None:
    text = (DEPLOY / "Caddyfile").read_text("utf-8")
    assert int(re.findall(r"max_size (\d+)MB", text)[0]) * 1e6 >= SETTINGS.max_request_bytes
    command = [tool("caddy"), "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_settings_are_read_as_plain_text() -> None:
    """What the files set is known to the server, by name."""
    names = set(
        re.findall(r"PYRITE_SERVE_(\w+)", "".join(p.read_text("utf-8") for p in DEPLOY.rglob("*") if p.is_file()))
    )
    assert {name.lower() for name in names} <= {field.name for field in msgspec.structs.fields(type(SETTINGS))}
