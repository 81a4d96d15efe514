#!/usr/bin/env python3
"""The step that Lapidary is measured against: training a decoder of the Gemma architecture on XLA's CPU backend, with N
devices forced on the host, jit and NamedSharding over Mesh(("data", "model")), optionally ZeRO-3.

  bench_jax.py --shape '{"V":512,"D":64,"L":2,"N":16,"K":16,"H":16,"F":256,"T":32}' --mesh 16x16 --zero3 --batch 16

Compiles, runs one step, and then measures on demand (bench_protocol.py).
"""
import argparse, json, math, os, time

ap = argparse.ArgumentParser()
ap.add_argument("--shape", required=True, help="V vocabulary, D width, L layers, N heads, K kv heads, H head dim, F mlp width, T row length")
ap.add_argument("--mesh", default="1x1", help="DATAxMODEL")
ap.add_argument("--zero3", action="store_true", help="shard params+optimizer over data too")
ap.add_argument("--batch", type=int, default=16)
ap.add_argument("--scan", type=int, default=1, help="1: lax.scan over layers, 0: unrolled")
ap.add_argument("--regather", action="store_true",
                help="re-gather ZeRO-3 weights in backward (jax.checkpoint policy) instead of saving them")
ap.add_argument("--remat", action="store_true", help="full per-layer rematerialisation")
ap.add_argument("--collective-timeout", type=int, default=600,
                help="set the XLA CPU collective warn/terminate timeouts (seconds), 0 = XLA defaults")
ap.add_argument("--xla", default="", help="extra XLA_FLAGS")
args = ap.parse_args()

DATA, MODEL = (int(v) for v in args.mesh.split("x"))
NDEV = DATA * MODEL

flags = os.environ.get("XLA_FLAGS", "")
if NDEV > 1:
    flags += f" --xla_force_host_platform_device_count={NDEV}"
if args.collective_timeout and NDEV > 1:
    s = args.collective_timeout
    flags += (f" --xla_cpu_collective_call_warn_stuck_timeout_seconds={s}"
              f" --xla_cpu_collective_call_terminate_timeout_seconds={s}"
              f" --xla_cpu_collective_timeout_seconds={s}")
flags += " " + args.xla
os.environ["XLA_FLAGS"] = flags.strip()
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from bench_protocol import answer, cpu_s, phase


# ------------------------------------------------------------------ model
class Leaf:
    """One parameter: logical shape, the dim the model axis shards (or None), and its ZeRO-3 storage."""
    def __init__(self, mesh, shape, mdim, zero3, stacked):
        self.shape, self.mesh, self.stacked = tuple(shape), mesh, stacked
        comp = [None] * len(shape)
        if mdim is not None and shape[mdim] % MODEL == 0 and MODEL > 1:
            comp[mdim] = "model"
        else:
            mdim = None
        store, self.flat, self.zsharded = list(comp), False, False
        if zero3 and DATA > 1:
            cand = [i for i in range(len(shape)) if comp[i] is None and shape[i] % DATA == 0]
            if cand:
                store[max(cand, key=lambda i: shape[i])] = "data"; self.zsharded = True
            elif mdim is not None and shape[mdim] % (DATA * MODEL) == 0:
                store[mdim] = ("model", "data"); self.zsharded = True
            elif mdim is None and math.prod(shape) % DATA == 0:
                self.flat = True; store = ["data"]; self.zsharded = True
        self.comp, self.store = P(*comp), P(*store)
        self.store_shape = (math.prod(shape),) if self.flat else self.shape
        pre = (None,) if stacked else ()
        self.store_sharding = NamedSharding(mesh, P(*pre, *self.store))
        comp_s, store_s = NamedSharding(mesh, self.comp), NamedSharding(mesh, self.store)
        if not self.zsharded:
            self.gather = lambda w: w
            return

        @jax.custom_vjp
        def gather(w):                      # all-gather over 'data' ...
            if self.flat:
                w = lax.with_sharding_constraint(w, NamedSharding(mesh, P(None))).reshape(self.shape)
            return lax.with_sharding_constraint(w, comp_s)

        def bwd(_, g):                      # ... reduce-scatter of the gradient
            if self.flat:
                g = g.reshape(-1)
            return (lax.with_sharding_constraint(g, store_s),)
        gather.defvjp(lambda w: (gather(w), None), bwd)
        self.gather = gather


def rmsnorm(x, w):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * (1.0 + w)


def main():
    c = json.loads(args.shape)
    V, D, L, N, K, H, F = (c[k] for k in "VDLNKHF")
    T = c["T"]
    B = args.batch
    assert N % K == 0 and B % DATA == 0
    devs = jax.devices()
    assert len(devs) >= NDEV, (len(devs), NDEV)
    mesh = Mesh(np.array(devs[:NDEV]).reshape(DATA, MODEL), ("data", "model"))
    heads_m = "model" if N % MODEL == 0 and MODEL > 1 else None
    phase("devices", n=len(devs), jax=jax.__version__)

    def lf(shape, mdim, stacked=False):
        return Leaf(mesh, shape, mdim, args.zero3, stacked)
    st = bool(args.scan)
    layer_leaves = dict(
        norm1=lf((D,), None, st), norm2=lf((D,), None, st),
        wq=lf((D, N, H), 1, st), wk=lf((D, K, H), 1, st), wv=lf((D, K, H), 1, st), wo=lf((N, H, D), 0, st),
        wgate=lf((D, F), 1, st), wup=lf((D, F), 1, st), wdown=lf((F, D), 0, st))
    leaves = dict(embed=lf((V, D), 0), norm=lf((D,), None),
                  layers=layer_leaves if st else [layer_leaves for _ in range(L)])
    is_leaf = lambda x: isinstance(x, Leaf)

    def sc(x, *spec):
        return lax.with_sharding_constraint(x, NamedSharding(mesh, P(*spec))) if NDEV > 1 else x

    rng = np.random.default_rng(0)
    def init(name, leaf):
        def one():
            if "norm" in name:
                return np.zeros(leaf.store_shape, np.float32)
            fan = {"embed": D, "wo": N * H, "wdown": F}.get(name, D)
            w = rng.standard_normal(leaf.shape, dtype=np.float32) / np.float32(math.sqrt(fan))
            return w.reshape(leaf.store_shape)
        return one
    # generate per layer in a fixed order so that scan/unrolled and every mesh start from the same weights
    emb = init("embed", leaves["embed"])()
    per_layer = [{k: init(k, v)() for k, v in layer_leaves.items()} for _ in range(L)]
    host = dict(embed=emb, norm=np.zeros((D,), np.float32),
                layers={k: np.stack([p[k] for p in per_layer]) for k in layer_leaves} if st else per_layer)
    if leaves["norm"].flat:
        host["norm"] = host["norm"].reshape(leaves["norm"].store_shape)
    n_total = sum(a.size for a in jax.tree.leaves(host))
    n_norm = D * (2 * L + 1)
    n_mat = n_total - n_norm          # tied embedding counted once (the logits matmul)

    shardings = jax.tree.map(lambda l: l.store_sharding, leaves, is_leaf=is_leaf)
    t0 = time.perf_counter()
    params = jax.tree.map(lambda a, s: jax.device_put(a, s), host, shardings)

    # AdamW as optax.adamw(3e-4, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1): the decay is applied to every parameter.
    LR, B1, B2, EPS, DECAY = 3e-4, 0.9, 0.95, 1e-8, 0.1
    rep = NamedSharding(mesh, P())
    zeros = lambda: jax.tree.map(lambda a, s: jax.device_put(np.zeros(a.shape, a.dtype), s), host, shardings)
    opt = (jax.device_put(np.zeros((), np.int32), rep), zeros(), zeros())
    oshard = (rep, shardings, shardings)

    def adamw(g, opt, params):
        count, mu, nu = opt
        count = count + 1
        mu = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, mu, g)
        nu = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, nu, g)
        c1, c2 = 1 - B1 ** count.astype(jnp.float32), 1 - B2 ** count.astype(jnp.float32)
        new = jax.tree.map(lambda p, m, v: p - LR * ((m / c1) / (jnp.sqrt(v / c2) + EPS) + DECAY * p), params, mu, nu)
        return new, (count, mu, nu)

    bshard = NamedSharding(mesh, P("data", None))
    batches = []
    for _ in range(4):
        seqs = rng.integers(0, V, (B, T + 1), dtype=np.int32)
        batches.append((jax.device_put(seqs[:, :-1], bshard), jax.device_put(seqs[:, 1:], bshard)))
    jax.block_until_ready((params, opt, batches))
    t_init = time.perf_counter() - t0
    phase("init", seconds=round(t_init, 3), params=int(n_total))

    pos = np.arange(T)
    inv = 10000.0 ** (-np.arange(0, H, 2) / H)
    ang = pos[:, None] * inv[None, :]
    COS, SIN = np.cos(ang).astype(np.float32), np.sin(ang).astype(np.float32)
    MASK = np.tril(np.ones((T, T), bool))

    def rope(x):  # [B,T,n,H]
        x1, x2 = jnp.split(x, 2, -1)
        cs, sn = COS[None, :, None, :], SIN[None, :, None, :]
        return jnp.concatenate([x1 * cs - x2 * sn, x2 * cs + x1 * sn], -1)

    names = list(layer_leaves)

    def layer(x, stored):
        w = {k: layer_leaves[k].gather(stored[k]) for k in names}
        if args.regather:
            w = {k: jax.ad_checkpoint.checkpoint_name(v, "gathered") if layer_leaves[k].zsharded else v
                 for k, v in w.items()}
        h = rmsnorm(x, w["norm1"])
        q = sc(jnp.einsum("btd,dnh->btnh", h, w["wq"]), "data", None, heads_m, None)
        k = jnp.einsum("btd,dkh->btkh", h, w["wk"])
        v = jnp.einsum("btd,dkh->btkh", h, w["wv"])
        q, k = rope(q) * (H ** -0.5), rope(k)
        if K == 1:
            s = jnp.einsum("btnh,bsh->bnts", q, k[:, :, 0])
        elif K < N:
            s = jnp.einsum("btkgh,bskh->bkgts", q.reshape(*q.shape[:2], K, N // K, H), k).reshape(q.shape[0], N, T, T)
        else:
            s = jnp.einsum("btnh,bsnh->bnts", q, k)
        s = jnp.where(MASK[None, None], s, -1e30)
        p = jax.nn.softmax(s, -1)
        if K == 1:
            o = jnp.einsum("bnts,bsh->btnh", p, v[:, :, 0])
        elif K < N:
            o = jnp.einsum("bkgts,bskh->btkgh", p.reshape(p.shape[0], K, N // K, T, T), v).reshape(*q.shape)
        else:
            o = jnp.einsum("bnts,bsnh->btnh", p, v)
        o = sc(o, "data", None, heads_m, None)
        x = sc(x + jnp.einsum("btnh,nhd->btd", o, w["wo"]), "data", None, None)
        h = rmsnorm(x, w["norm2"])
        g = sc(h @ w["wgate"], "data", None, "model")
        u = sc(h @ w["wup"], "data", None, "model")
        x = sc(x + (jax.nn.gelu(g, approximate=True) * u) @ w["wdown"], "data", None, None)
        return x

    f_layer = layer
    if args.remat:
        f_layer = jax.checkpoint(layer)
    elif args.regather:
        f_layer = jax.checkpoint(layer, policy=jax.checkpoint_policies.save_anything_except_these_names("gathered"))

    def loss_fn(params, tok, tgt):
        emb = leaves["embed"].gather(params["embed"])
        x = sc(emb[tok] * np.float32(math.sqrt(D)), "data", None, None)
        if args.scan:
            x, _ = lax.scan(lambda x, w: (f_layer(x, w), None), x, params["layers"])
        else:
            for w in params["layers"]:
                x = f_layer(x, w)
        x = rmsnorm(x, leaves["norm"].gather(params["norm"]))
        logits = sc(jnp.einsum("btd,vd->btv", x, emb), "data", None, "model")
        lse = jax.nn.logsumexp(logits, -1)
        onehot = tgt[..., None] == lax.broadcasted_iota(jnp.int32, (1, 1, V), 2)
        picked = jnp.sum(jnp.where(onehot, logits, 0.0), -1)
        return jnp.mean(lse - picked)

    def step(params, opt, tok, tgt):
        loss, g = jax.value_and_grad(loss_fn)(params, tok, tgt)
        params, opt = adamw(g, opt, params)
        return params, opt, loss

    jstep = jax.jit(step, in_shardings=(shardings, oshard, bshard, bshard),
                    out_shardings=(shardings, oshard, rep), donate_argnums=(0, 1))
    t0 = time.perf_counter(); c0 = cpu_s()
    lowered = jstep.lower(params, opt, *batches[0])
    t_lower = time.perf_counter() - t0
    phase("lowered", seconds=round(t_lower, 3))
    t0 = time.perf_counter()
    compiled = lowered.compile()
    t_compile = time.perf_counter() - t0
    phase("compiled", seconds=round(t_compile, 3))

    t0 = time.perf_counter()
    params, opt, loss = compiled(params, opt, *batches[0])
    jax.block_until_ready((params, opt, loss))
    t_first = time.perf_counter() - t0
    tok = B * T
    attn = 12 * L * B * T * T * N * H          # QK^T and PV, forward+backward, full (unmasked) T*T
    state = [params, opt]

    def one(done):
        state[0], state[1], loss = compiled(*state, *batches[done % len(batches)])
        jax.block_until_ready((state, loss))
        return float(loss)

    answer(dict(params=int(n_total), gflop=(6 * n_mat * tok + attn) / 1e9, lower_s=t_lower, compile_s=t_compile, first_step_s=t_first,
                loss=float(loss), jax=jax.__version__, threads=len(os.listdir("/proc/self/task"))), one)


main()
