"""ComfyUI's graph of nodes: whether any of them generates, and from what."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyrite.evidence.fields import read_json

_Node = Mapping[str, Any]
_Nodes = Mapping[str, _Node]

_GENERATING = re.compile(
    r".*Sampler.*|UltimateSDUpscale.*|"
    # Services that ComfyUI has nodes for, each with what makes an image there.
    r"OpenAI(?:Dalle|GPTImage)\w*|"
    r"Flux(?:2?Pro|2?Max|Kontext(?:Pro|Max))\w*ImageNode|FluxPro(?:Expand|Fill|Canny|Depth)Node|"
    r"Ideogram(?:V\d\w*|TextToImage)|StabilityStableImage\w+|"
    r"Recraft(?:V\d)?(?:TextToImage|ImageToImage|ImageInpainting|ReplaceBackground)Node|"
    r"(?:Gemini|Grok|Kling|Luma|NanoBanana|ByteDance)\w*Image\w*Node\d*|GeminiNanoBanana\w*|ByteDanceSeedreamNode\w*|"
    r"RunwayTextToImageNode|Wan\d*(?:Text|Image)ToImageApi"
)
"""By its type, a node that makes an image out of noise or words."""

_STARTS: Mapping[str, tuple[str, ...]] = {
    "positive": ("positive", "conditioning", "cond1", "cond2", "prompt"),
    "negative": ("negative", "negative_prompt"),
}
"""The inputs of a generating node, or of its guider, that lead to either prompt."""
_TEXTS = (
    *("conditioning", "conditioning_1", "conditioning_2", "conditioning_to", "conditioning_from"),
    *("text", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "prompt", "string", "string_a", "string_b", "value"),
)
"""The inputs of other nodes that hold a text, or lead on to one."""
_MODELS = ("ckpt_name", "unet_name")
_SEEDS = ("seed", "noise_seed", "noise", "value")
_MAX_STEPS = 200
"""Nodes that are visited for one prompt, model or seed."""
_MAX_MAKERS = 50
"""Generating nodes that are asked for a prompt."""
_MAX_NAME = 100
"""Characters of a node's type."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a graph of nodes does."""

    generates: bool
    """Whether a node of it makes images; without one it may just have scaled or cropped a photograph."""
    details: dict[str, object]


def read_comfyui(prompt: str, workflow: str) -> Workflow | None:
    """Understand ComfyUI's two texts, or return `None` where neither is what ComfyUI writes.

    Args:
        prompt: The graph that was run; JSON of node → class_type and inputs.
        workflow: The same as it stood in the editor; used where there is no `prompt`.
    """
    nodes = _read_nodes(read_json(prompt))
    if nodes:
        order = list(_walk(nodes))
        makers = [node["inputs"] for node in order if _generates(node["class_type"])]
        return Workflow(bool(makers), _summarise(nodes, order, makers))
    drawn = read_json(workflow)
    listed = drawn.get("nodes") if isinstance(drawn, dict) else None
    if not isinstance(listed, list) or "links" not in drawn:
        return None
    kinds = [node.get("type") for node in listed if isinstance(node, dict)]
    return Workflow(any(_generates(kind) for kind in kinds if isinstance(kind, str)), {})


def _generates(kind: str) -> bool:
    return _GENERATING.fullmatch(kind[:_MAX_NAME]) is not None


def _read_nodes(graph: Any) -> dict[str, dict[str, Any]]:
    """Return the nodes of a graph, which is only one if all of it is nodes."""
    if not isinstance(graph, dict):
        return {}
    for node in graph.values():
        if not isinstance(node, dict):
            return {}
        if not isinstance(node.get("class_type"), str) or not isinstance(node.get("inputs"), dict):
            return {}
    return graph


def _walk(nodes: _Nodes) -> Iterator[_Node]:
    """Yield every node once, from what saves an image back to what it was made from, the nearest first."""
    linked = {name for node in nodes.values() for name in _links(nodes, node["inputs"].values())}
    # Previews are ends as well, but what is in a file was saved. A graph in a circle has no end.
    ends = sorted(nodes, key=lambda name: (name in linked, "Save" not in nodes[name]["class_type"]))
    seen: set[str] = set()
    for end in ends:
        queue = deque([end])
        while queue:
            name = queue.popleft()
            if name not in seen:
                seen.add(name)
                yield nodes[name]
                queue.extend(_links(nodes, nodes[name]["inputs"].values()))


def _links(nodes: _Nodes, values: Iterable[Any]) -> Iterator[str]:
    """Yield the nodes that inputs come from: such an input is a node's name and the number of its output."""
    for value in values:
        if isinstance(value, list) and value and isinstance(value[0], str) and value[0] in nodes:
            yield value[0]


def _summarise(nodes: _Nodes, order: list[_Node], makers: list[Mapping[str, Any]]) -> dict[str, object]:
    """Return what the nearest generating node was asked for that was given a prompt.

    Before it there may be others that were given an image alone, as where a video is made of one.
    """
    at = next((i for i, inputs in enumerate(makers[:_MAX_MAKERS]) if _find_texts(nodes, inputs, "positive")), 0)
    asked = makers[at] if makers else {}
    loaded = [node["inputs"].get(key) for node in order for key in _MODELS]
    models = _strings([*_follow(nodes, asked, ("guider", "model", "model1", "model2", *_MODELS)), *loaded])
    # A pass that adds no noise makes no use of its seed; that of the pass before it counts.
    noisy = [inputs for inputs in makers[at:] if inputs.get("add_noise") != "disable"][:_MAX_MAKERS]
    seeds = (seed for inputs in noisy for seed in _follow(nodes, inputs, _SEEDS))
    return {
        "model": models[0] if models else None,
        "models": models if len(models) > 1 else None,
        "prompt": "\n".join(_find_texts(nodes, asked, "positive")),
        "negative_prompt": "\n".join(_find_texts(nodes, asked, "negative")),
        "seed": next((seed for seed in seeds if isinstance(seed, int) and not isinstance(seed, bool)), None),
    }


def _find_texts(nodes: _Nodes, asked: Mapping[str, Any], role: str) -> list[str]:
    """Return the texts of a prompt, which are several where their effects are combined."""
    guiders = [nodes[name]["inputs"] for name in _links(nodes, [asked.get("guider")])]
    for inputs in (asked, *guiders):
        starts = {key: inputs[key] for key in _STARTS[role] if key in inputs}
        if starts:
            return _strings(_follow(nodes, starts, (*_STARTS[role], *_TEXTS)))
    return []


def _follow(nodes: _Nodes, inputs: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    """Follow inputs of these names, from node to node, to the values at their ends, in the names' order."""
    found: list[Any] = []
    seen: set[str] = set()
    waiting = [inputs[key] for key in reversed(keys) if key in inputs]
    while waiting and len(seen) < _MAX_STEPS:
        value = waiting.pop()
        name = next(_links(nodes, [value]), None)
        if name is None:
            found.append(value)
        # What goes into this node comes out as nothing.
        elif name not in seen and nodes[name]["class_type"] != "ConditioningZeroOut":
            seen.add(name)
            waiting += [nodes[name]["inputs"][key] for key in reversed(keys) if key in nodes[name]["inputs"]]
    return found


def _strings(values: list[Any]) -> list[str]:
    return list(dict.fromkeys(value.strip() for value in values if isinstance(value, str) and value.strip()))
