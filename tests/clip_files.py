"""CLIP's vision encoder as transformers exports it to ONNX, small, with random weights, and perhaps quantised."""

from pathlib import Path

import numpy as np

WIDTH, MLP, PATCH, SIDE, LAYERS = 128, 256, 8, 16, 2
HEAD = 64
TOKENS = (SIDE // PATCH) ** 2 + 1
LINEAR = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH, WIDTH),
    "self_attn.v_proj": (WIDTH, WIDTH),
    "self_attn.out_proj": (WIDTH, WIDTH),
    "mlp.fc1": (WIDTH, MLP),
    "mlp.fc2": (MLP, WIDTH),
}
TOP = "vision_model"


def make_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        f"{TOP}.embeddings.class_embedding": (WIDTH,),
        f"{TOP}.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        f"{TOP}.embeddings.position_embedding.weight": (TOKENS, WIDTH),
    }
    norms = [f"{TOP}.pre_layrnorm", f"{TOP}.post_layernorm"]
    for number in range(LAYERS):
        layer = f"{TOP}.encoder.layers.{number}"
        norms += [f"{layer}.layer_norm1", f"{layer}.layer_norm2"]
        for name, shape in LINEAR.items():
            shapes |= {f"{layer}.{name}": shape, f"{layer}.{name}.bias": shape[1:]}
    for name in norms:
        shapes |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    return {name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_clip(path: Path, weights: dict[str, np.ndarray], *, quantised: bool) -> dict[str, np.ndarray]:
    """Write an encoder, and return the weights that it has: of 8 bits, where it is quantised."""
    import onnx
    from onnx import helper, numpy_helper

    graph = _Graph(weights, quantised=quantised)
    last = graph.encode("pixel_values")
    graph.node("Identity", last, out="image_embeds")
    made = helper.make_graph(
        graph.nodes,
        "clip",
        [helper.make_tensor_value_info("pixel_values", onnx.TensorProto.FLOAT, ("batch", 3, SIDE, SIDE))],
        [helper.make_tensor_value_info("image_embeds", onnx.TensorProto.FLOAT, ("batch", TOKENS, WIDTH))],
        [numpy_helper.from_array(value, name) for name, value in graph.values.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return graph.has


class _Graph:
    def __init__(self, weights: dict[str, np.ndarray], *, quantised: bool) -> None:
        self.weights, self.quantised, self.has = weights, quantised, dict(weights)
        self.nodes: list[object] = []
        named = {name: value for name, value in weights.items() if name.endswith((".bias", ".weight", "_embedding"))}
        self.values: dict[str, np.ndarray] = named

    def node(self, kind: str, *inputs: str, out: str | None = None, outs: int = 1, **attributes: object) -> str:
        from onnx import helper

        first = out or f"value{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [first, *(f"{first}/{i}" for i in range(1, outs))], **attributes)
        )
        return first

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"constant{len(self.values)}"
        self.values[name] = np.asarray(value, dtype)
        return name

    def norm(self, x: str, name: str) -> str:
        return self.node("LayerNormalization", x, f"{name}.weight", f"{name}.bias", axis=-1, epsilon=1e-5)

    def linear(self, x: str, layer: str, name: str) -> str:
        """Add a product and its bias, as ONNX Runtime quantises the first."""
        from onnx import TensorProto

        whole, value = f"{layer}.{name}", self.weights[f"{layer}.{name}"]
        place = f"/{layer.replace(f'{TOP}.encoder.', f'{TOP}/encoder/')}/{name.replace('.', '/')}"
        product = f"{place}/MatMul_output_0"
        if not self.quantised:
            self.values[f"onnx::{whole}"] = value
            self.node("MatMul", x, f"onnx::{whole}", out=product)
        else:
            step = (np.abs(value).max(0) / 127).astype(np.float32)
            zero = (np.arange(value.shape[1]) % 3 - 1).astype(np.int8)
            held = np.clip(np.round(value / step) + zero, -128, 127).astype(np.int8)
            self.has[whole] = (held.astype(np.float32) - zero) * step
            self.values |= {f"{whole}_scale": step, f"{whole}_zero_point": zero, f"{whole}_quantized": held}
            small = self._quantise(x)
            scales = self.node("Mul", f"{small}/1", f"{whole}_scale")
            summed = self.node("MatMulInteger", small, f"{whole}_quantized", f"{small}/2", f"{whole}_zero_point")
            self.node("Mul", self.node("Cast", summed, to=TensorProto.FLOAT), scales, out=product)
        return self.node("Add", f"{whole}.bias", product)

    def _quantise(self, x: str) -> str:
        """Quantise a value once, for all products that take it."""
        name = f"{x}_quantized"
        if not any(name in node.output for node in self.nodes):  # type: ignore[attr-defined]
            self.node("DynamicQuantizeLinear", x, out=name, outs=3)
        return name

    def heads(self, x: str) -> str:
        split = self.node("Reshape", x, self.constant([0, 0, WIDTH // HEAD, HEAD], np.int64))
        return self.node("Transpose", split, perm=[0, 2, 1, 3])

    def encode(self, images: str) -> str:
        embedding = f"{TOP}.embeddings"
        patches = self.node("Conv", images, f"{embedding}.patch_embedding.weight", strides=[PATCH, PATCH])
        patches = self.node("Reshape", patches, self.constant([0, WIDTH, TOKENS - 1], np.int64))
        patches = self.node("Transpose", patches, perm=[0, 2, 1])
        nothing = self.node("Mul", self.node("ReduceMean", patches, axes=[1]), self.constant(0))
        first = self.node("Add", nothing, f"{embedding}.class_embedding")
        x = self.node("Concat", first, patches, axis=1)
        x = self.node("Add", x, f"{embedding}.position_embedding.weight")
        x = self.norm(x, f"{TOP}.pre_layrnorm")
        for number in range(LAYERS):
            layer = f"{TOP}.encoder.layers.{number}"
            place = f"/{TOP}/encoder/layers.{number}"
            h = self.norm(x, f"{layer}.layer_norm1")
            q, k, v = (self.heads(self.linear(h, layer, f"self_attn.{name}_proj")) for name in "qkv")
            scores = self.node("MatMul", q, self.node("Transpose", k, perm=[0, 1, 3, 2]))
            scores = self.node("Softmax", self.node("Mul", scores, self.constant(HEAD**-0.5)), axis=-1)
            mixed = self.node("Transpose", self.node("MatMul", scores, v), perm=[0, 2, 1, 3])
            mixed = self.node("Reshape", mixed, self.constant([0, 0, WIDTH], np.int64))
            x = self.node("Add", x, self.linear(mixed, layer, "self_attn.out_proj"), out=f"{place}/Add_output_0")
            h = self.linear(self.norm(x, f"{layer}.layer_norm2"), layer, "mlp.fc1")
            h = self.node("Mul", h, self.node("Sigmoid", self.node("Mul", h, self.constant(1.702))))
            x = self.node("Add", x, self.linear(h, layer, "mlp.fc2"), out=f"{place}/Add_1_output_0")
        return self.norm(x, f"{TOP}.post_layernorm")
