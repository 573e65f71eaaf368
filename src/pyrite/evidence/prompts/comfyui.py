"""ComfyUI's graph of nodes: whether any of them generates, and from what."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyrite.evidence.prompts.values import Made
from pyrite.results import Verdict

_Node = Mapping[str, Any]
_Nodes = Mapping[str, _Node]

GENERATING = re.compile(
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

STARTS: Mapping[str, tuple[str, ...]] = {
    "positive": ("positive", "conditioning", "cond1", "cond2", "prompt"),
    "negative": ("negative", "negative_prompt"),
}
"""The inputs of a generating node, or of its guider, that lead to either prompt."""
TEXTS = (
    *("conditioning", "conditioning_1", "conditioning_2", "conditioning_to", "conditioning_from"),
    *("text", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "prompt", "string", "string_a", "string_b", "value"),
)
"""The inputs of other nodes that hold a text, or lead on to one."""
MODELS = ("ckpt_name", "unet_name")
SEEDS = ("seed", "noise_seed", "noise", "value")
_MAX_STEPS = 200
"""Nodes that are visited for one prompt, model or seed."""
_MAX_MAKERS = 50
"""Generating nodes that are asked for a prompt."""
_MAX_NAME = 100
"""Characters of a node's type."""
_MARGIN = 100
"""Pixels around the nodes in a picture of the editor."""
_TOLERANCE = 0.03
BESIDE = frozenset(
    {"extra", "extraMetadata", "extra_data", "extra_pnginfo", "workflow", "version", "client_id", "prompt"}
)
"""What services write beside the nodes of a graph."""


PROGRAM = "ComfyUI"


def read_comfyui(prompt: Any, workflow: Any, size: tuple[int, int] = (0, 0)) -> Made | None:
    """Understand ComfyUI's two objects, or return `None` where neither is what ComfyUI writes.

    Args:
        prompt: The graph that was run: node → class_type and inputs.
        workflow: The same as it stood in the editor; used where there is no `prompt`.
        size: Width and height of the image, where known: a picture of the editor's canvas has the canvas's proportions.
    """
    nodes = _read_nodes(prompt)
    if nodes:
        order = list(_walk(nodes))
        makers = [node["inputs"] for node in order if _generates(node["class_type"])]
        return Made(PROGRAM, _summarise(nodes, order, makers), Verdict.AI if makers else None)
    listed = workflow.get("nodes") if isinstance(workflow, dict) else None
    if not isinstance(listed, list) or "links" not in workflow:
        return None
    drawn = [node for node in listed if isinstance(node, dict)]
    if _is_picture_of_editor(drawn, size):
        note = "this is a picture of the workflow in its editor, not an image that it made"
        return Made(PROGRAM, {}, None, note=note)
    kinds = (node.get("type") for node in drawn)
    generates = any(_generates(kind) for kind in kinds if isinstance(kind, str))
    return Made(PROGRAM, {}, Verdict.AI if generates else None)


def _is_picture_of_editor(nodes: list[dict[str, Any]], size: tuple[int, int]) -> bool:
    """Say whether an image is as large as the nodes of a workflow take in the editor.

    Extensions that save the editor's canvas draw all nodes with 100 pixels around them, once or several times as
    large, and add the workflow alone; ComfyUI itself adds the prompt as well.
    Source: workflowImage.js of pythongosssss/ComfyUI-Custom-Scripts.
    """
    places = [(_pair(node.get("pos")), _pair(node.get("size"))) for node in nodes]
    known = [(at, extent) for at, extent in places if at and extent]
    if len(known) < 2 or len(known) < len(nodes) or min(size) < 1:
        return False
    wide = max(at[0] + extent[0] for at, extent in known) - min(at[0] for at, _ in known) + 2 * _MARGIN
    high = max(at[1] + extent[1] for at, extent in known) - min(at[1] for at, _ in known) + 2 * _MARGIN
    across, down = size[0] / wide, size[1] / high
    # The titles above the nodes are counted by some, and half a screen's pixels by others.
    return 0.25 <= across <= 4 and abs(across / down - 1) <= _TOLERANCE


def _pair(value: Any) -> tuple[float, float] | None:
    """Return two numbers, which the editor writes as a list, or as an object with the keys 0 and 1."""
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    if not isinstance(value, list) or len(value) < 2:
        return None
    first, second = value[:2]
    numbers = all(isinstance(item, int | float) and abs(item) < 1e6 for item in (first, second))
    return (float(first), float(second)) if numbers else None


def _generates(kind: str) -> bool:
    return GENERATING.fullmatch(kind[:_MAX_NAME]) is not None


def _read_nodes(graph: Any) -> dict[str, dict[str, Any]]:
    """Return the nodes of a graph, which is only one if all of it is nodes, but for what services add."""
    if not isinstance(graph, dict):
        return {}
    nodes = {name: node for name, node in graph.items() if name not in BESIDE}
    for node in nodes.values():
        if not isinstance(node, dict):
            return {}
        if not isinstance(node.get("class_type"), str) or not isinstance(node.get("inputs"), dict):
            return {}
    return nodes


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
    loaded = [node["inputs"].get(key) for node in order for key in MODELS]
    models = _strings([*_follow(nodes, asked, ("guider", "model", "model1", "model2", *MODELS)), *loaded])
    # A pass that adds no noise makes no use of its seed; that of the pass before it counts.
    noisy = [inputs for inputs in makers[at:] if inputs.get("add_noise") != "disable"][:_MAX_MAKERS]
    seeds = (seed for inputs in noisy for seed in _follow(nodes, inputs, SEEDS))
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
        starts = {key: inputs[key] for key in STARTS[role] if key in inputs}
        if starts:
            return _strings(_follow(nodes, starts, (*STARTS[role], *TEXTS)))
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
