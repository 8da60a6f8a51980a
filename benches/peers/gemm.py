"""Interleave mquant's integer products with oneDNN (8-bit weights) and ONNX Runtime (4-bit weights); medians and ratios.

usage: gemm.py MQUANT [--rounds 3] [--threads 2] [--python PYTHON] [--peers onednn ort4 ort4_g32 ort8]

In every round `mquant kernels --time --json`, then each peer in a process of its own, never two at a time. Peers need
Python with torch (onednn), or onnxruntime and onnx (ort4, ort4_g32, ort8). Each shape is rows x inputs x outputs.
 onednn    u8 activations, s8 weights, one scale for each output, f32 results: against mquant int8
 ort4      MatMulNBits, 4 bits in groups of 128, activations quantised inside (accuracy level 4): against mquant int4
 ort4_g32  the same in groups of 32
 ort8      MatMulInteger, u8 by s8, i32 results that are not scaled: against mquant int8
stdout: an aligned table of GOPS, then one line of JSON with every run. stderr: progress. Exit code 1: a run failed.
"""

import argparse
import json
import statistics
import sys
import time

from interleave import aligned, run, told

SECONDS = 0.6  # of measuring one shape
PEERS = {"onednn": "int8", "ort4": "int4", "ort4_g32": "int4", "ort8": "int8"}
TARGETS = {"onednn": 1.0, "ort4": 2.3}  # how many times faster mquant should be
SHAPES = {
    "int4": [(512, 1536, 8960), (512, 8960, 1536), (512, 1536, 1536)],
    "int8": [(512, 1536, 8960), (512, 8960, 1536), (1024, 1280, 5120), (1024, 5120, 1280)],
}


def median_seconds(stage):
    stage()
    stage()
    times, started = [], time.perf_counter()
    while time.perf_counter() - started < SECONDS or len(times) < 5:
        start = time.perf_counter()
        stage()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def onednn_stage(rows, inputs, outputs, threads):
    import torch

    torch.set_num_threads(threads)
    weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [rows, inputs])
    x = torch.randint(0, 256, (rows, inputs), dtype=torch.uint8)
    scales, zeros = torch.rand(outputs) * 0.01, torch.zeros(outputs, dtype=torch.int32)
    product = torch.ops.onednn.qlinear_pointwise
    return lambda: product(x, 0.02, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")


def ort_stage(make, x, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(make, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def ort_model(node, initializers, kinds, rows, inputs, outputs):
    from onnx import helper

    x = helper.make_tensor_value_info("x", kinds[0], [rows, inputs])
    y = helper.make_tensor_value_info("y", kinds[1], [rows, outputs])
    graph = helper.make_graph([node], "product", [x], [y], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 9
    return model.SerializeToString()


def ort_four_bits(rows, inputs, outputs, threads, group):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (outputs, inputs // group, group // 2), dtype=np.uint8)
    scales = (rng.random((outputs, inputs // group)) * 0.01 + 0.001).astype(np.float32)
    weights = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]
    attributes = dict(K=inputs, N=outputs, bits=4, block_size=group, accuracy_level=4)
    node = helper.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft", **attributes)
    model = ort_model(node, weights, (TensorProto.FLOAT, TensorProto.FLOAT), rows, inputs, outputs)
    return ort_stage(model, rng.standard_normal((rows, inputs)).astype(np.float32), threads)


def ort_eight_bits(rows, inputs, outputs, threads):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (inputs, outputs), dtype=np.int8)
    weights = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(np.array(128, np.uint8), "zero")]
    node = helper.make_node("MatMulInteger", ["x", "codes", "zero"], ["y"])
    model = ort_model(node, weights, (TensorProto.UINT8, TensorProto.INT32), rows, inputs, outputs)
    return ort_stage(model, rng.integers(0, 256, (rows, inputs), dtype=np.uint8), threads)


STAGES = {
    "onednn": onednn_stage,
    "ort4": lambda *shape: ort_four_bits(*shape, 128),
    "ort4_g32": lambda *shape: ort_four_bits(*shape, 32),
    "ort8": ort_eight_bits,
}


def time_peer(peer, threads):
    """GOPS of each shape, as a JSON object on stdout: what the processes of the peers do."""
    gops = {}
    for rows, inputs, outputs in SHAPES[PEERS[peer]]:
        seconds = median_seconds(STAGES[peer](rows, inputs, outputs, threads))
        gops[f"{rows} x {inputs} x {outputs}"] = 2e-9 * rows * inputs * outputs / seconds
    print(json.dumps(gops))


def of_mquant(a, name):
    """GOPS of the kernel that is picked, for each operation and shape."""
    command = [a.mquant, "kernels", "--time", "--json", "--threads", str(a.threads), "int4_gemm", "int8_gemm"]
    gops = {}
    for operation in json.loads(run(name, command).stdout)["operations"]:
        for shape in operation["times"]:
            picked = next(k for k in shape["kernels"] if k["name"] == operation["pick"])
            gops[f"{operation['name'].removesuffix('_gemm')} {shape['shape']}"] = picked["ops_per_s"] / 1e9
    told(", ".join(f"{v:.0f}" for v in gops.values()))
    return gops


def of_peer(a, peer, name):
    done = run(name, [a.python, __file__, "--one", peer, "--threads", str(a.threads)])
    gops = {f"{PEERS[peer]} {shape}": v for shape, v in json.loads(done.stdout.splitlines()[-1]).items()}
    told(", ".join(f"{v:.0f}" for v in gops.values()))
    return gops


def table(runs):
    peers = list(runs)[1:]
    rows = [["GOPS", *runs, *(f"vs {peer}" for peer in peers)]]
    for case in runs["mquant"][0]:
        medians = {e: statistics.median(r[case] for r in found) for e, found in runs.items() if case in found[0]}
        row = [case, *(f"{medians[e]:.0f}" if e in medians else "-" for e in runs)]
        for peer in peers:
            row.append(f"{medians['mquant'] / medians[peer]:.2f}x" if peer in medians else "-")
        rows.append(row)
    targets = [f">= {TARGETS[peer]:.2f}x" if peer in TARGETS else "" for peer in peers]
    rows.append(["target", *("" for _ in runs), *targets])
    return aligned(rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("mquant", nargs="?")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--peers", nargs="*", choices=PEERS, default=["onednn", "ort4", "ort8"])
    arguments.add_argument("--one", choices=PEERS, help=argparse.SUPPRESS)
    a = arguments.parse_args()
    if a.one:
        return time_peer(a.one, a.threads)
    if not a.mquant:
        arguments.error("which mquant?")
    runs = {name: [] for name in ("mquant", *a.peers)}
    for i in range(a.rounds):
        turn = f"round {i + 1} of {a.rounds}"
        runs["mquant"].append(of_mquant(a, f"{turn}: mquant"))
        for peer in a.peers:
            runs[peer].append(of_peer(a, peer, f"{turn}: {peer}"))
    print("\n".join(table(runs)))
    print(json.dumps({"settings": {"rounds": a.rounds, "threads": a.threads}, "gops": runs}))


if __name__ == "__main__":
    main()
