"""What the comparisons share: starting a process and measuring it, instruction sets, and the record of every run."""
import datetime, itertools, json, os, pathlib, signal, subprocess, sys, tempfile, time

# The same instruction set for both sides: PLUMB_KERNELS for ours; oneDNN's, ATen's and MKL's switches for the peers (semhash,
# datasketch and llama.cpp have none, and keep what they were built with).
LEVELS = {
    "amx": {},
    "avx512bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2vnni": {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}


class Process:
    """A process of its own, held to an instruction set. It can be stopped and continued: seconds are those in which it was let run."""

    def __init__(self, cmd, level=None, cores=None, cwd=None, threads=0, own=False):
        """own: in a process group of its own, so that it can be stopped. cores: sets of cores, of which it has one, with every turn the next."""
        env = dict(os.environ, TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
        if level:
            env.update(LEVELS[level], PLUMB_KERNELS=level)
        if threads:
            env.update(OMP_NUM_THREADS=str(threads), GOMAXPROCS=str(threads))
        self.cores = itertools.cycle(cores) if cores else None
        first = next(self.cores) if cores else None
        pin = (lambda: os.sched_setaffinity(0, first)) if cores else None
        self.cmd, self.files = [str(c) for c in cmd], (tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+"))
        self.ran, self.on, self.ended = [], time.time(), False
        self.p = subprocess.Popen(self.cmd, stdout=self.files[0], stderr=self.files[1], env=env, preexec_fn=pin, cwd=cwd, start_new_session=own)

    def wait(self, seconds=None):
        """Waits for the end, for so long at most, and says whether it came."""
        until = time.time() + (seconds or 1e9)
        while not self.ended and time.time() < until:
            pid, status, use = os.wait4(self.p.pid, 0 if seconds is None else os.WNOHANG)
            if pid:
                self.ended, self.use, self.p.returncode = True, use, os.waitstatus_to_exitcode(status)
                self.ran.append((self.on, time.time()))
            else:
                time.sleep(0.005)
        return self.ended

    def pause(self):
        if not self.ended:
            os.killpg(self.p.pid, signal.SIGSTOP)
            self.ran.append((self.on, time.time()))

    def go_on(self):
        if self.cores:
            to = next(self.cores)
            for task in os.listdir(f"/proc/{self.p.pid}/task"):
                os.sched_setaffinity(int(task), to)
        self.on = time.time()
        os.killpg(self.p.pid, signal.SIGCONT)

    def seconds(self, since=0, until=1e12):
        """How long it ran between two times of the clock."""
        return sum(max(0, min(b, until) - max(a, since)) for a, b in self.ran)

    def result(self):
        out, err = self.files
        out.seek(0), err.seek(0)
        r = {"out": out.read(), "err": err.read(), "began": self.ran[0][0], "wall": round(self.seconds(), 3), "peak_mb": round(self.use.ru_maxrss / 1024),
             "cpu": round(self.use.ru_utime + self.use.ru_stime, 2), "seconds": self.seconds}
        if self.p.returncode != 0:
            sys.exit(f"{' '.join(self.cmd)}\nended with {self.p.returncode}:\n{r['err'][-3000:]}")
        return r


def spawn(cmd, level=None, cores=None, cwd=None, threads=0):
    """Runs cmd to its end: its output, wall seconds, and peak resident MB and processor seconds as the kernel reports them."""
    p = Process(cmd, level, cores, cwd, threads)
    p.wait()
    return p.result()


def in_turns(first, others, slice):
    """Lets a first process, and those of others, each again and again while the first runs, go on in turn for so many seconds, so that a machine
    whose speed changes is the same to all. Each starts a process and returns it with what measures its result: the first's measure, and all
    of each of the others."""
    lead, running, done = None, [None] * len(others), [[] for _ in others]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that nobody stays stopped

    def turn(i, seconds=None):
        if running[i] is None:
            running[i] = others[i]()
        else:
            running[i][0].go_on()
        p, measure = running[i]
        if p.wait(seconds):
            done[i].append(measure(p.result()))
            running[i] = None
        else:
            p.pause()

    try:
        lead, measure = first()
        while not lead.wait(slice):
            lead.pause()
            for i in range(len(others)):
                turn(i, slice)
            lead.go_on()
        said = measure(lead.result())
        for i in range(len(others)):
            if not done[i]:
                turn(i)  # it has the machine for itself in the end: counted only where it is the only one
        return said, done
    finally:
        for p in [lead] + [r[0] for r in running if r]:
            if p is not None and not p.ended:
                os.killpg(p.p.pid, signal.SIGKILL)


def peer_command(python, script, *args):
    return [python, *([pathlib.Path(__file__).parent / script] if script else []), *args]


def answer(r):
    """What a peer's process has printed, a JSON object in its last line, with what was measured of it. Where it says when its training began
    and ended, seconds are those in between in which it ran."""
    said = json.loads([x for x in r["out"].splitlines() if x.startswith("{")][-1])
    if "training" in said:
        said["seconds"] = round(r["seconds"](*said.pop("training")), 2)
        said["rate"] = (said.get("pairs") or said.get("episodes") or said["operations"]) / said["seconds"]
    if said.get("first_step"):
        said["first_step"] = round(r["seconds"](0, said["first_step"]), 2)
    return {**said, "peak_mb": r["peak_mb"], "wall": r["wall"], "process_cpu": r["cpu"], "began": r["began"]}


def peer(python, script, *args, level=None, cores=None, threads=0):
    """Runs one of this folder's *_side.py, or a program where script is ""."""
    return answer(spawn(peer_command(python, script, *args), level, cores, threads=threads))


def best(runs, key):
    return max(runs, key=lambda r: r[key])


def report(folder, /, **fields):
    """Appends a measurement to the folder's results.jsonl and prints it."""
    fields = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "load": os.getloadavg()[0], **fields}
    with open(pathlib.Path(folder) / "results.jsonl", "a") as f:
        f.write(json.dumps(fields) + "\n")
    print(json.dumps(fields), flush=True)
