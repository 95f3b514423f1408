"""What the comparisons share: starting a process and measuring it, instruction sets, and the record of every run."""
import datetime, json, os, pathlib, subprocess, sys, tempfile, time

# The same instruction set for both sides: PLUMB_KERNELS for ours; oneDNN's, ATen's and MKL's switches for the peers (semhash,
# datasketch and llama.cpp have none, and keep what they were built with).
LEVELS = {
    "amx": {},
    "avx512bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2vnni": {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}


def spawn(cmd, level=None, cores=None, cwd=None, threads=0):
    """Runs cmd to its end: its output, wall seconds, and peak resident MB and processor seconds as the kernel reports them."""
    env = dict(os.environ, TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    if level:
        env.update(LEVELS[level], PLUMB_KERNELS=level)
    if threads:
        env.update(OMP_NUM_THREADS=str(threads), GOMAXPROCS=str(threads))
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began, clock = time.time(), time.perf_counter()
        p = subprocess.Popen([str(c) for c in cmd], stdout=out, stderr=err, env=env, preexec_fn=pin, cwd=cwd)
        _, status, use = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - clock
        out.seek(0), err.seek(0)
        r = {"out": out.read(), "err": err.read(), "began": began, "wall": round(wall, 3), "peak_mb": round(use.ru_maxrss / 1024),
             "cpu": round(use.ru_utime + use.ru_stime, 2)}
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, cmd))}\nended with {p.returncode}:\n{r['err'][-3000:]}")
    return r


def peer(python, script, *args, level=None, cores=None, threads=0):
    """Runs one of this folder's *_side.py, or a program where script is ""; its last line of output is a JSON object."""
    r = spawn([python, *([pathlib.Path(__file__).parent / script] if script else []), *args], level, cores, threads=threads)
    line = [x for x in r["out"].splitlines() if x.startswith("{")][-1]
    return {**json.loads(line), "peak_mb": r["peak_mb"], "wall": r["wall"], "process_cpu": r["cpu"], "began": r["began"]}


def best(runs, key):
    return max(runs, key=lambda r: r[key])


def report(folder, /, **fields):
    """Appends a measurement to the folder's results.jsonl and prints it."""
    fields = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "load": os.getloadavg()[0], **fields}
    with open(pathlib.Path(folder) / "results.jsonl", "a") as f:
        f.write(json.dumps(fields) + "\n")
    print(json.dumps(fields), flush=True)
