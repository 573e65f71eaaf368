"""ComfyUI's graph of nodes: whether any of them generates, and from what."""

from dataclasses import dataclass
from typing import Any

from pyrite.evidence.fields import read_json

_MAX_STEPS = 50
_TEXTS = ("conditioning", "text", "text_g", "t5xxl", "string", "value")
"""Inputs that hold the prompt, or lead to it."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a graph of nodes does."""

    generates: bool
    """Whether it has a sampler; without one it may just have scaled or cropped a photograph."""
    details: dict[str, object]


def read_comfyui(prompt: str, workflow: str) -> Workflow | None:
    """Understand ComfyUI's two texts, or return `None` where neither is what ComfyUI writes.

    Args:
        prompt: The graph that was run; JSON of node → class_type and inputs.
        workflow: The same as it stood in the editor; used where there is no `prompt`.
    """
    nodes = _nodes(read_json(prompt))
    if nodes:
        samplers = [node for node in nodes.values() if "Sampler" in node["class_type"]]
        return Workflow(bool(samplers), _summarise(nodes, samplers))
    drawn = read_json(workflow)
    listed = drawn.get("nodes") if isinstance(drawn, dict) else None
    if not isinstance(listed, list) or "links" not in drawn:
        return None
    kinds = [node.get("type") for node in listed if isinstance(node, dict)]
    return Workflow(any("Sampler" in kind for kind in kinds if isinstance(kind, str)), {})


def _nodes(graph: Any) -> dict[str, dict[str, Any]]:
    """Return the nodes of a graph, which is only one if all of it is nodes."""
    if not isinstance(graph, dict):
        return {}
    for node in graph.values():
        if not isinstance(node, dict):
            return {}
        if not isinstance(node.get("class_type"), str) or not isinstance(node.get("inputs"), dict):
            return {}
    return graph


def _summarise(nodes: dict[str, dict[str, Any]], samplers: list[dict[str, Any]]) -> dict[str, object]:
    inputs: dict[str, Any] = samplers[0]["inputs"] if samplers else {}
    return {
        "model": _first(nodes, ("ckpt_name", "unet_name"), str),
        "prompt": _text(nodes, inputs, "positive") or _text(nodes, inputs, "guider"),
        "negative_prompt": _text(nodes, inputs, "negative"),
        "seed": _first(nodes, ("seed", "noise_seed"), int),
    }


def _first(nodes: dict[str, dict[str, Any]], keys: tuple[str, ...], kind: type) -> Any:
    values = (node["inputs"].get(key) for node in nodes.values() for key in keys)
    return next((value for value in values if isinstance(value, kind)), None)


def _text(nodes: dict[str, dict[str, Any]], inputs: dict[str, Any], key: str) -> str | None:
    """Follow an input, from node to node, to the first text."""
    for _ in range(_MAX_STEPS):
        link = next((inputs[name] for name in (key, *_TEXTS) if name in inputs), None)
        if isinstance(link, str):
            return link
        node = nodes.get(link[0]) if isinstance(link, list) and link and isinstance(link[0], str) else None
        if node is None:
            return None
        inputs = node["inputs"]
    return None
