"""Starts both sides of a comparison in one run, one after the other or (--turns) in turn, each a process of its own, and prints the ratio.

    python bench/ratios.py dpo|reward|ppo|generate|embed|product|cores|useful --plumb ./plumb --work bench/work --python PYTHON [--level amx]

prepare.py makes WORK. Every measurement is also appended to WORK/results.jsonl. bench/README.md says what is counted.
"""
import argparse, array, itertools, json, math, pathlib, shutil, struct, sys

import flops
from side import LEVELS, Process, answer, best, in_turns, peer, peer_command, report, spawn

OPTIONS = ["epochs=1", "batch_size=4", "learning_rate=1e-4", "max_length=512", "logging_steps=1", "save_steps=0", "lora.r=8", "lora.alpha=16"]
ROWS = {"dpo": 768, "reward": 512, "ppo": 1024}  # in memory at once: as many as an eighth of the peer's memory has room for


def plumb_stage(a, kind, sets, level=None, cores=None, pairs=0, name=None):
    """One stage by the built binary as a user runs it, from scratch: the command, and what measures it. Training seconds are those between the
    first step's begin and the last metrics line; what comes before (reading the model, encoding) and after (the checkpoint) is in the wall
    and processor time only."""
    out = a.work / "runs" / (name or kind)
    shutil.rmtree(out, ignore_errors=True)
    config = a.work / f"{name or kind}.yaml"
    config.write_text("")
    sets = [f"model={a.work}/smollm2", f"data={a.work}/pairs.jsonl", f"limit={pairs}", f"micro_batch_tokens={ROWS[kind]}"] + a.set + sets

    def measure(r):
        m = json.loads((out / "manifest.json").read_text())
        lines = [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
        began = stamp(m["training"])
        trainable = {"trainable_policy": numbers(out / "adapter"), "trainable_critic": numbers(out / "critic")} if kind == "ppo" else {}
        return {**trainable, "seconds": round(r["seconds"](began, stamp(lines[-1]["time"])), 3), "kernel": m["kernel"], "wall": r["wall"], "peak_mb": r["peak_mb"],
                "cpu": r["cpu"], "first_step": round(r["seconds"](0, began), 3), "steps": len(lines), "dropped": m["results"].get("dropped")}

    command = [a.plumb, kind, config, "--out", out] + [x for s in sets for x in ("--set", s)]
    return Process(command, level or a.level, cores, threads=a.threads, own=bool(a.turns)), measure


def finished(process, measure):
    process.wait()
    return measure(process.result())


def against(a, python, script, args, ours):
    """The peer's training and at least one of ours, that of ours(): one after the other, ours twice, for it is short; or in turn."""
    if a.turns:
        t, (done,) = in_turns(lambda: (Process(peer_command(python, script, *args), a.level, threads=a.threads, own=True), answer), [ours], a.turns)
        return t, done
    return peer(python, script, *args, level=a.level, threads=a.threads), [finished(*ours()) for _ in range(2)]


def stamp(text):
    import datetime
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def mean(runs, key="rate"):
    """The mean of rates of the same work: of its times."""
    return len(runs) / sum(1 / r[key] for r in runs)


def ratio(a, work, ours, theirs, **more):
    o, t = best(ours, "rate"), best(theirs, "rate")
    if a.turns and "mode" in o:  # all runs beside the peer's best mode, for all met the same machine
        beside = lambda runs: [r for r in runs if r["mode"] == t["mode"]]
        o, t = ({**x, **{key: mean(runs, key) for key in ("rate", "cpu_rate")}} for x, runs in ((o, beside(ours)), (t, beside(theirs))))
        more["cpu_ratio"] = round(o["cpu_rate"] / t["cpu_rate"], 2)
    elif "cpu_rate" in o:
        more["cpu_ratio"] = round(best(ours, "cpu_rate")["cpu_rate"] / best(theirs, "cpu_rate")["cpu_rate"], 2)
    report(a.work, work=work, level=a.level, ratio=round(o["rate"] / t["rate"], 2), plumb=o["rate"], peer=t["rate"], peer_mode=t["mode"],
           memory=round(t["peak_mb"] / o["peak_mb"], 2), plumb_mb=o["peak_mb"], peer_mb=t["peak_mb"], **more)


def modes(a):
    """The peer's arithmetics worth trying: bf16 is emulated, and hopeless, without instructions for it."""
    if a.modes:
        return a.modes.split(",")
    return ["bf16", "f32"] if a.level in ("amx", "avx512bf16") else ["f32"]


def training(a, kind):
    """DPO or reward training over the pairs, one epoch."""
    ours, theirs = [], []
    variants = [(m, p) for m in modes(a) for p in ((True, False) if kind == "dpo" and a.both else (True,))]
    for i, (m, precompute) in enumerate(variants * a.repeat):
        flags = ["--bf16"] * (m == "bf16") + ["--precompute"] * (precompute and kind == "dpo")
        t, done = against(a, a.python, "trl_side.py", [kind, "--work", a.work, "--pairs", a.pairs, "--threads", a.threads or 2, *flags],
                          lambda: plumb_stage(a, kind, OPTIONS, pairs=a.pairs))
        t["mode"] = m + (", reference precomputed" if precompute else "") * (kind == "dpo")
        theirs.append(t)
        report(a.work, side="trl 1.16", level=a.level, **t)
        for o in done:
            o["mode"] = t["mode"]
            o["rate"] = t["pairs"] / o["seconds"]
            o["cpu_rate"], t["cpu_rate"] = t["pairs"] / o["cpu"], t["pairs"] / t["cpu"]
            useful = flops.preference(a.work, t["tokens"], t["pairs"], kind)
            o["useful_gflops"] = round(useful / o["seconds"] / 1e9, 1)
            ours.append(o)
            report(a.work, work=kind, side="plumb", level=a.level, **o)
    o = best(ours, "rate")
    ratio(a, kind, ours, theirs, useful_gflops=o["useful_gflops"], first_step=o["first_step"], peer_first_step=best(theirs, "rate")["first_step"])


def ppo(a):
    """PPO: 16 episodes an update, 64 new tokens, 4 epochs, one reward model for both sides."""
    reward = a.work / "runs" / "reward"
    manifest = reward / "manifest.json"
    if not manifest.exists() or json.loads(manifest.read_text()).get("outcome") != "done":
        finished(*plumb_stage(a, "reward", OPTIONS))
    sets = [f"reward={reward}", "batch_size=16", "num_ppo_epochs=4", "num_mini_batches=1", "response_length=64", "stop_token=none", "temperature=0.7",
            "learning_rate=1e-5", "lora.r=8", "lora.alpha=16", "save_steps=0"]
    ours, theirs = [], []
    for m in modes(a)[:1] * a.repeat:
        t, done = against(a, a.ppo_python, "trl_ppo_side.py", ["--work", a.work, "--reward", reward / "adapter", "--updates", a.updates,
                          "--device_batch", a.device_batch, "--threads", a.threads or 2, *["--bf16"] * (m == "bf16")],
                          lambda: plumb_stage(a, "ppo", sets + [f"max_steps={a.updates}"]))
        t["mode"] = m
        theirs.append(t)
        report(a.work, side="trl 0.23.1", level=a.level, **t)
        for o in done:
            o["mode"] = t["mode"]
            o["rate"] = t["episodes"] / o["seconds"]
            o["cpu_rate"], t["cpu_rate"] = t["episodes"] / o["cpu"], t["episodes"] / t["cpu"]
            ours.append(o)
            report(a.work, work="ppo", side="plumb", level=a.level, **o)
    keys = ("trainable_policy", "trainable_critic")
    ratio(a, "ppo", ours, theirs, first_step=ours[0]["first_step"], **{k: ours[0][k] for k in keys}, **{"peer_" + k: theirs[0][k] for k in keys})


def numbers(adapter):
    """How many numbers an adapter's file holds."""
    with open(adapter / "adapter_model.safetensors", "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return sum(math.prod(t["shape"]) for name, t in head.items() if name != "__metadata__")


def generate(a):
    """Batch 16 against transformers, batch 1 against llama.cpp on the same 4-bit file and against transformers."""
    for batch, new in ((16, 64), (1, 128)):
        sides = [("transformers " + m, [a.python, "generate_side.py", "--work", a.work, "--batch", batch, "--new", new] + ["--bf16"] * (m == "bf16"),
                  f"{a.work}/smollm2") for m in modes(a)]
        if batch == 1 and a.gguf and a.llama:
            sides.append(("llama.cpp, same file", ["node", "llama_side.mjs", a.llama, a.gguf, a.work / "pairs.jsonl", new, 3, 2], a.gguf))
        for name, command, model in sides:
            ours, theirs = [], []
            for _ in range(a.repeat):
                t = peer(*command, level=a.level)
                theirs.append({**t, "mode": name})
                report(a.work, side=name, level=a.level, **t)
                for _ in range(2):
                    r = spawn([a.plumb, "generate", "--model", model, "--data", a.work / "pairs.jsonl", "--limit", batch, "--max-new", new, "--no-stop", "--json"], a.level)
                    rate = float(r["err"].split("(")[-1].split()[0])
                    ours.append({"rate": rate, "peak_mb": r["peak_mb"], "wall": r["wall"]})
                    report(a.work, work="generate", side="plumb", level=a.level, batch=batch, model=pathlib.Path(model).name, **ours[-1])
            ratio(a, f"generate, batch {batch}, against {name}", ours, theirs)


def embed(a):
    """MiniLM over 1,000 conversations cut at 256 tokens, tokenizing included; cosines against sentence-transformers' f32."""
    texts = a.work / "conversations.jsonl"
    vectors = {}
    for m in dict.fromkeys(modes(a) + ["f32"]):
        ours, theirs = [], []
        for _ in range(a.repeat):
            file = a.work / f"st_{m}.f32"
            t = peer(a.st_python, "embed_side.py", "--model", a.minilm, "--texts", texts, "--vectors", file, *["--bf16"] * (m == "bf16"), level=a.level)
            theirs.append({**t, "mode": m})
            vectors["peer " + m] = file
            report(a.work, side="sentence-transformers", level=a.level, **t)
            for c in [m] + ["int16"] * (m == "f32"):
                file = a.work / f"plumb_{c}.f32"
                o = peer(a.embed_binary, "", "-model", a.minilm, "-texts", texts, "-vectors", file, "-compute", c, level=a.level)
                ours.append(o)
                vectors["plumb " + c] = file
                report(a.work, side="plumb", level=a.level, **o)
        ratio(a, f"embed {m}", ours, theirs)
    for name, file in vectors.items():
        print(f"least cosine of {name} to sentence-transformers f32: {least_cosine(file, vectors['peer f32']):.6f}")


def least_cosine(x, y, dim=384):
    read = lambda f: array.array("f", f.read_bytes())
    x, y = read(x), read(y)
    least = 1.0
    for i in range(0, len(x), dim):
        p, q = x[i:i + dim], y[i:i + dim]
        least = min(least, sum(map(float.__mul__, p, q)) / math.sqrt(sum(v * v for v in p) * sum(v * v for v in q)))
    return least


def product(a):
    """The product 1024x576x1536: torch's, and ours beside the peak measured in the same run."""
    t = peer(a.python, "product_side.py", level=a.level)
    report(a.work, work="product", side="torch", level=a.level, **t)
    root = pathlib.Path(__file__).parent.parent
    r = spawn(["go", "test", "./internal/kernels", "-run", "^$", "-bench", f"^BenchmarkProduct$/^{a.level}$", "-benchtime", "60x", "-timeout", "20m"], cwd=root)
    print(r["out"])
    for line in r["out"].splitlines():
        f = line.split()
        if f and f[0].startswith("BenchmarkProduct/"):
            v = dict(zip(f[3::2], map(float, f[2::2])))
            report(a.work, work="product", side="plumb", level=a.level, form="/".join(f[0].split("/")[2:]), gflops=v["GFLOP/s"], share=v["%peak"])


def cores(a):
    """DPO on one core, each of them in turn, for they are not equally fast, and on both; and a loop that touches no memory likewise, whose ratio
    is that of the machine: of two virtual cores it is below 2 while somebody has put both on one core, or needs one of them."""
    each, alternate = [{0}, {1}], itertools.cycle([{0}, {1}])
    run = lambda name, cores: plumb_stage(a, "dpo", OPTIONS, cores=cores, pairs=a.pairs, name=name)
    loop = lambda cores: (Process([a.peak_binary, "-compute", a.compute.split(",")[0], "-work", 100], a.level, cores, own=True), answer)
    if a.turns:
        first, (two, single, both) = in_turns(lambda: run("one", each), [lambda: run("two", None), lambda: loop(alternate), lambda: loop(None)], a.turns)
        one = [first]
    else:
        runs = [[finished(*start(c)) for c in ([each[i % 2]], None) for start in (lambda c: run("cores", c), loop)] for i in range(2 * a.repeat)]
        one, single, two, both = zip(*runs)
    one, two = ([o["seconds"] for o in x] for x in (one, two))
    single, both = mean(single), mean(both)
    report(a.work, work="cores", level=a.level, one=one, two=two, ratio=round(len(two) * sum(one) / len(one) / sum(two), 3),
           loop_one=round(single, 1), loop_two=round(both, 1), loop_ratio=round(both / single, 3))


def useful(a):
    """Useful operations of DPO in turn with a loop of the same arithmetic that touches no memory, on the same threads."""
    a.turns = a.turns or 0.25
    tokens, pairs = flops.tokens(a.work)
    for c in a.compute.split(","):
        loop = lambda: (Process([a.peak_binary, "-compute", c], a.level, threads=a.threads, own=True), answer)
        o, (peaks,) = in_turns(lambda: plumb_stage(a, "dpo", OPTIONS + [f"compute={c}"]), [loop], a.turns)
        rate, peak = flops.preference(a.work, tokens, pairs, "dpo") / o["seconds"] / 1e9, mean(peaks)
        report(a.work, work="useful", level=a.level, compute=c, seconds=o["seconds"], gflops=round(rate, 1), peak=round(peak, 1), share=round(rate / peak, 3))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["dpo", "reward", "ppo", "generate", "embed", "product", "cores", "useful"])
    p.add_argument("--plumb", type=pathlib.Path, default="./plumb")
    p.add_argument("--work", type=pathlib.Path, default="bench/work")
    p.add_argument("--level", choices=list(LEVELS), required=True, help="instruction set that both sides are held to")
    p.add_argument("--python", default=sys.executable, help="python with TRL 1.16")
    p.add_argument("--ppo-python", help="python with TRL 0.23.1")
    p.add_argument("--st-python", help="python with sentence-transformers")
    p.add_argument("--llama", help="folder whose node_modules has node-llama-cpp")
    p.add_argument("--gguf", help="SmolLM2-135M-Instruct Q4_1")
    p.add_argument("--minilm", help="folder of all-MiniLM-L6-v2")
    p.add_argument("--embed-binary", default="bench/work/embed", help="built from ./bench/embed")
    p.add_argument("--peak-binary", default="bench/work/peak", help="built from ./bench/peak")
    p.add_argument("--compute", default="f32,int16", help="useful: arithmetics; cores: the first is that of the loop without memory")
    p.add_argument("--set", action="append", default=[], help="of our trainings: KEY=VALUE, compute=bf16 for one")
    p.add_argument("--modes", help="of the peer: bf16,f32")
    p.add_argument("--both", action="store_true", help="TRL's DPO without its precomputed reference too")
    p.add_argument("--pairs", type=int, default=0)
    p.add_argument("--updates", type=int, default=1)
    p.add_argument("--device_batch", type=int, default=16)
    p.add_argument("--threads", type=int, default=0, help="of both sides of a training; 0: ours all, the peer's 2")
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("--turns", type=float, default=0, help="both sides of a training, or one core and two, in turn, so many seconds each at a time, not one after the other (useful: always, 0.25)")
    a = p.parse_args()
    a.plumb, a.work = a.plumb.resolve(), a.work.resolve()
    if a.what in ("dpo", "reward"):
        training(a, a.what)
    else:
        {"ppo": ppo, "generate": generate, "embed": embed, "product": product, "cores": cores, "useful": useful}[a.what](a)


if __name__ == "__main__":
    main()
