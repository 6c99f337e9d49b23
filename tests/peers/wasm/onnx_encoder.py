"""Writes the encoder of a ggml Whisper model of f16 as ONNX: onnx_encoder.py MODEL.bin ENCODER.onnx. Needs onnx and numpy."""

import struct
import sys

import numpy
from onnx import TensorProto, helper, numpy_helper, save

path, out = sys.argv[1:]
data = open(path, "rb").read()
at = 4


def ints(count):
    global at
    values = struct.unpack_from(f"<{count}i", data, at)
    at += 4 * count
    return values


_, places, width, heads, layers, *_, bands, _ = ints(11)
filters = ints(2)
at += 4 * filters[0] * filters[1]
for _ in range(*ints(1)):
    (length,) = ints(1)
    at += length
weights = {}
while at < len(data):
    dimensions, length, kind = ints(3)
    shape = ints(dimensions)[::-1]
    name = data[at:at + length].decode()
    at += length
    values = numpy.frombuffer(data, "<f2" if kind else "<f4", int(numpy.prod(shape)), at)
    at += values.nbytes
    weights[name] = values.reshape(shape).astype("f4")

nodes, constants = [], []


def constant(values, name):
    constants.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
    return name


def node(kind, *inputs, **attributes):
    name = f"{kind}{len(nodes)}"
    nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


def weight(name, transposed=False):
    values = weights[f"encoder.{name}"]
    return constant(values.T if transposed else values, name)


def linear(x, name):
    x = node("MatMul", x, weight(f"{name}.weight", True))
    return node("Add", x, weight(f"{name}.bias")) if f"encoder.{name}.bias" in weights else x


def norm(x, name):
    return node("LayerNormalization", x, weight(f"{name}.weight"), weight(f"{name}.bias"), axis=-1, epsilon=1e-5)


def convolution(x, name, stride):
    bias = constant(weights[f"encoder.{name}.bias"].reshape(-1), f"{name}.bias")
    return node("Gelu", node("Conv", x, weight(f"{name}.weight"), bias, kernel_shape=[3], pads=[1, 1], strides=[stride]))


split = constant(numpy.array([0, 0, heads, width // heads], "i8"), "split")
joined = constant(numpy.array([0, 0, width], "i8"), "joined")
scale = constant(numpy.array((width // heads) ** -0.5, "f4"), "scale")
x = convolution(convolution("mel", "conv1", 1), "conv2", 2)
x = node("Add", node("Transpose", x, perm=[0, 2, 1]), weight("positional_embedding"))
for layer in range(layers):
    block = f"blocks.{layer}"
    y = norm(x, f"{block}.attn_ln")
    query, key, value = (
        node("Transpose", node("Reshape", linear(y, f"{block}.attn.{part}"), split), perm=order)
        for part, order in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])]
    )
    scores = node("Softmax", node("MatMul", node("Mul", query, scale), key), axis=-1)
    y = node("Reshape", node("Transpose", node("MatMul", scores, value), perm=[0, 2, 1, 3]), joined)
    x = node("Add", x, linear(y, f"{block}.attn.out"))
    y = node("Gelu", linear(norm(x, f"{block}.mlp_ln"), f"{block}.mlp.0"))
    x = node("Add", x, linear(y, f"{block}.mlp.2"))
x = norm(x, "ln_post")
graph = helper.make_graph(
    nodes, "encoder",
    [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, bands, 2 * places])],
    [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, places, width])],
    constants,
)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), out)
