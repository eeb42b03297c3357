#!/usr/bin/env python3
"""policy_runs.py PROGRAM OUT.jsonl DENSITY[,DENSITY] POLICY[,POLICY] -- GENERATE-OPTIONS

Whole runs of `filigree generate` with each policy at each density of the whole run, set against the
dense run: what the picture loses, and what attention takes. A policy may carry options of its own:
"dfs --tail on". One JSON line per run is appended to OUT.jsonl, and a table is printed. Everything is
rendered anew, in a folder that is removed afterwards. Standard library of Python 3 only.
"""
import datetime
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile


def call(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1]), ""


def render(program, folder, name, options, policy):
    latents = folder / (name + ".latents.safetensors")
    frames = folder / (name + ".frames.safetensors")
    result, why = call(program, "generate", *options, *policy, "--save-latents", str(latents),
                       "--save-frames", str(frames), "--json", "--force")
    return result, latents, frames, why


def main():
    if len(sys.argv) < 7 or sys.argv[5] != "--":
        sys.exit(__doc__)
    program, out, densities, policies = sys.argv[1:5]
    options = sys.argv[6:]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        dense, dense_latents, dense_frames, why = render(program, folder, "dense", options, [])
        if dense is None:
            sys.exit(why)
        for policy in policies.split(","):
            for density in densities.split(","):
                words = ["--attn", *shlex.split(policy), "--density", density]
                run, latents, frames, why = render(program, folder, "run", options, words)
                if run is None:
                    print(f"{policy} at {density}: {why}", file=sys.stderr)
                    continue
                picture, _ = call(program, "compare", str(frames), str(dense_frames), "--json")
                sampled, _ = call(program, "compare", str(latents), str(dense_latents), "--json")
                rows.append({
                    "date": datetime.date.today().isoformat(), "policy": policy,
                    "asked": float(density), "density": run["density"],
                    "sparse_density": run["sparse_density"], "psnr": picture["psnr"],
                    "ssim": picture["ssim"], "latents_rel_l2": sampled["rel_l2"],
                    "attention_seconds": run["attention_seconds"],
                    "choose_seconds": run["choose_seconds"],
                    "dense_attention_seconds": dense["attention_seconds"],
                    "dense_calls": run["dense_calls"], "calls": run["calls"]})
                print(json.dumps(rows[-1]), file=open(out, "a", encoding="utf-8"))
    print("| policy | density | PSNR | SSIM | latents, rel. L2 | attention + choosing, of dense |")
    print("| --- | --- | --- | --- | --- | --- |")
    for r in rows:
        share = (r["attention_seconds"] + r["choose_seconds"]) / r["dense_attention_seconds"]
        print(f"| {r['policy']} | {r['density']:.3f} | {r['psnr']:.2f} | {r['ssim']:.4f} "
              f"| {r['latents_rel_l2']:.4f} | {share:.2f} |")


main()
