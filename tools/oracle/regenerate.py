"""Regenerates testdata/oracle: `python tools/oracle/regenerate.py [family ...]` with requirements.txt installed.

Families build on each other, in this order. Set PLUMB_MODELS for the one that needs a real model; without it that family
is left as it is. All come back byte for byte but tokenizers.json.gz, whose small vocabularies Hugging Face's trainer learns with ties
broken at random. The PPO family needs TRL 1.12.0 next to the newer one: it is installed into a folder of its own,
PLUMB_TRL_PPO or tools/oracle/.trl-1.12.0."""

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAMILIES = ["gguf_files", "models", "adapters", "losses", "trainers", "ppo", "smollm2",
            "tokenizer", "tokenizer_unicode", "tokenizer_chat"]
PACKAGES = ["torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers", "safetensors", "gguf", "numpy"]
TRL_PPO = "1.12.0"


def ppo_environment():
    """TRL 1.12.0 found before the newer TRL, everything else shared."""
    folder = Path(os.environ.get("PLUMB_TRL_PPO", HERE / f".trl-{TRL_PPO}"))
    if not (folder / "trl").is_dir():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), f"trl=={TRL_PPO}"], check=True)
    return {**os.environ, "PYTHONPATH": str(folder)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", metavar="family", help=", ".join(FAMILIES))
    families = parser.parse_args().families or FAMILIES
    unknown = set(families) - set(FAMILIES)
    if unknown:
        parser.error(f"unknown families {sorted(unknown)}; known are {FAMILIES}")
    for family in [f for f in FAMILIES if f in families]:
        print(family, flush=True)
        # A process each: one family's random state and patches cannot reach another.
        env = ppo_environment() if family == "ppo" else dict(os.environ)
        subprocess.run([sys.executable, str(HERE / f"{family}.py")], check=True, env=env)
    lines = [f"python {platform.python_version()}"] + [f"{p} {version(p)}" for p in PACKAGES] + [f"trl (ppo) {TRL_PPO}"]
    (HERE.parents[1] / "testdata" / "oracle" / "VERSIONS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
