"""The protocol of the programs that Lapidary is measured against. They print 'PHASE {...}' lines while they start, and 'READY {...}' after their first step.
For each line 'STEPS n' on the standard input they run n steps and print 'STEPS {"seconds": [...], ...}'. They exit when it ends."""
import json, resource, sys, time

T_START = time.perf_counter()


def hwm_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_s():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return r.ru_utime + r.ru_stime


def phase(name, **kw):
    print("PHASE", json.dumps(dict(phase=name, t=round(time.perf_counter() - T_START, 3),
                                   hwm_mb=round(hwm_mb(), 1), cpu_s=round(cpu_s(), 1), **kw)), flush=True)


def answer(ready, step):
    """`step(n)` runs the n-th step and returns its loss."""
    print("READY", json.dumps(ready), flush=True)
    done = 0
    for line in sys.stdin:
        seconds, cpus, losses = [], [], []
        for _ in range(int(line.split()[1])):
            done += 1
            c0 = cpu_s(); t0 = time.perf_counter()
            losses.append(step(done))
            seconds.append(time.perf_counter() - t0); cpus.append(cpu_s() - c0)
        print("STEPS", json.dumps(dict(seconds=seconds, cpu_s=cpus, losses=losses, rss_peak_mb=hwm_mb())), flush=True)
