"""Run transformers on a model folder and a messages file; write the tensors that `mquant logits` writes.

usage: check_logits.py MODEL_DIR MESSAGES.json OUT.safetensors [--new-tokens N] [--fps F ...]
Compare with `mquant logits MODEL_DIR MESSAGES.json ...` by compare_logits.py.
"""

import argparse

from safetensors.torch import save_file

import reference


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("messages")
    arguments.add_argument("out")
    arguments.add_argument("--new-tokens", type=int, default=reference.NEW_TOKENS)
    arguments.add_argument("--fps", type=float, nargs="+", help="frames a second of each video")
    a = arguments.parse_args()
    tensors, _ = reference.tensors(reference.Reference(a.model), a.messages, a.new_tokens, a.fps)
    save_file(tensors, a.out)
    for name, value in tensors.items():
        print(f"{name:22} {str(value.dtype)[6:]:8} {list(value.shape)}")


if __name__ == "__main__":
    main()
