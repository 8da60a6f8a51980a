"""Join what demo_reference.py wrote for several models into one file. usage: collect_reference.py OUT.json NAME=ANSWERS.json ..."""
import json, sys
answers, scores = {}, {}
for name, path in (x.split("=", 1) for x in sys.argv[2:]):
    b = json.load(open(path))["benchmarks"]; answers[name] = {k: [s["prediction"] for s in v["samples"]] for k, v in b.items()}; scores[name] = {k: round(v["score"], 2) for k, v in b.items()}
json.dump(dict(source="transformers 5.23, torch 2.15, CPU float32, greedy, 24 new tokens", scores=scores, answers=answers), open(sys.argv[1], "w"), separators=(",", ":"))
