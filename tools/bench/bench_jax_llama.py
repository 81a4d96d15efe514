#!/usr/bin/env python3
"""The step that `--case llama-4d` is measured against: a Llama on XLA's CPU backend, on virtual devices in a mesh of data × stage × context × model.

  bench_jax_llama.py --shape '{"V":512,"D":128,"L":4,"N":8,"K":4,"H":16,"F":256,"T":128}' --mesh 4x4x4x4 --microbatches 4 --batch 16

The layout is that of Lapidary: the layers are one array over the stages, and a GPipe loop of M + S - 1 ticks computes all stages with vmap and shifts their
results by one, as praxis and MaxText do. Attention gathers keys and values over `context`. Heads, the MLP and the vocabulary are split over `model`, and
ZeRO-3 splits params and AdamW states over `data` and `context`. A tick is computed again in the backward pass. Protocol and output are those of bench_jax.py.
"""
import argparse, json, math, os, sys, time

ap = argparse.ArgumentParser()
ap.add_argument("--shape", required=True)
ap.add_argument("--mesh", default="4x4x4x4", help="DATAxSTAGExCONTEXTxMODEL")
ap.add_argument("--microbatches", type=int, default=4)
ap.add_argument("--batch", type=int, default=16)
args = ap.parse_args()
AXES = ("data", "stage", "context", "model")
SIZES = [int(v) for v in args.mesh.split("x")]
NDEV, S, M = math.prod(SIZES), SIZES[1], args.microbatches
SLOW = " ".join(f"--xla_cpu_collective_{name}_timeout_seconds=3600" for name in ("call_warn_stuck", "call_terminate"))
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={NDEV} {SLOW} --xla_cpu_collective_timeout_seconds=3600"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from bench_protocol import answer, phase

c = json.loads(args.shape)
V, D, L, N, K, H, F, T = (c[k] for k in "VDLNKHFT")
B = args.batch
assert L % S == 0 and B % (M * SIZES[0]) == 0 and T % (SIZES[2] * S) == 0
mesh = Mesh(np.array(jax.devices()[:NDEV]).reshape(SIZES), AXES)
ZERO = ("data", "context")


def sc(x, *spec):
    return lax.with_sharding_constraint(x, NamedSharding(mesh, P(*spec)))


# name → dims, dim that `model` splits, dim that ZeRO splits; layers have leading dims [stage, layers of a stage].
LAYER = dict(
    norm1=((D,), None, 0), norm2=((D,), None, 0),
    wq=((D, N, H), 1, 0), wk=((D, K, H), 1, 0), wv=((D, K, H), 1, 0), wo=((N, H, D), 0, 2),
    wgate=((D, F), 1, 0), wup=((D, F), 1, 0), wdown=((F, D), 0, 1))
OUTER = dict(embed=((V, D), 0, 1), norm=((D,), None, 0), head=((V, D), 0, 1))


def specs(dims, m, z, lead):
    compute = [("model" if d == m else None) for d in range(len(dims))]
    store = [(ZERO if d == z else axis) for d, axis in enumerate(compute)]
    return P(*lead, *compute), P(*lead, *store)


LEAD = ("stage", None)
SPECS = {**{k: specs(*v, LEAD) for k, v in LAYER.items()}, **{k: specs(*v, ()) for k, v in OUTER.items()}}
STORE = {k: NamedSharding(mesh, store) for k, (_, store) in SPECS.items()}


def gathered(params):
    """Params as the matmuls need them; their gradients are scattered by the same constraint."""
    return {k: lax.with_sharding_constraint(w, NamedSharding(mesh, SPECS[k][0])) for k, w in params.items()}


rng = np.random.default_rng(0)


def draw(name, dims):
    if "norm" in name:
        return np.ones(dims, np.float32)
    return (rng.standard_normal(dims, dtype=np.float32) * 0.02).astype(np.float32)


host = {k: draw(k, v[0]) for k, v in OUTER.items()} | {k: draw(k, (S, L // S, *v[0])) for k, v in LAYER.items()}
params = {k: jax.device_put(a, STORE[k]) for k, a in host.items()}
zeros = {k: jax.device_put(np.zeros_like(a), STORE[k]) for k, a in host.items()}
opt = (jax.device_put(np.zeros((), np.int32), NamedSharding(mesh, P())), zeros, {k: v + 0 for k, v in zeros.items()})
oshard = (NamedSharding(mesh, P()), STORE, STORE)
bshard = NamedSharding(mesh, P("data", "context"))
seqs = [rng.integers(0, V, (B, T + 1), dtype=np.int32) for _ in range(4)]
batches = [(jax.device_put(s[:, :-1], bshard), jax.device_put(s[:, 1:], bshard)) for s in seqs]
phase("init", params=int(sum(a.size for a in host.values())))

ang = np.arange(T)[:, None] * (10000.0 ** (-np.arange(0, H, 2) / H))[None, :]
COS, SIN = np.cos(ang).astype(np.float32), np.sin(ang).astype(np.float32)
MASK = np.tril(np.ones((T, T), bool))


def rmsnorm(x, w):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * w


def rope(x):  # [S, b, T, n, H]
    x1, x2 = jnp.split(x, 2, -1)
    cs, sn = COS[:, None, :], SIN[:, None, :]
    return jnp.concatenate([x1 * cs - x2 * sn, x2 * cs + x1 * sn], -1)


def layer(x, w):
    """One layer of all stages: x [S, b, T, D], w [S, …] each."""
    h = rmsnorm(x, w["norm1"][:, None, None])
    heads = ("stage", "data", "context", "model", None)
    q = sc(jnp.einsum("sbtd,sdnh->sbtnh", h, w["wq"]), *heads)
    k = sc(jnp.einsum("sbtd,sdkh->sbtkh", h, w["wk"]), *heads)
    v = sc(jnp.einsum("sbtd,sdkh->sbtkh", h, w["wv"]), *heads)
    q, k = rope(q) * (H ** -0.5), rope(k)
    whole = ("stage", "data", None, "model", None)
    k, v = sc(k, *whole), sc(v, *whole)
    q = q.reshape(*q.shape[:3], K, N // K, H)
    p = jax.nn.softmax(jnp.where(MASK, jnp.einsum("sbtkgh,sbukh->sbkgtu", q, k), -1e30), -1)
    o = jnp.einsum("sbkgtu,sbukh->sbtkgh", p, v).reshape(*q.shape[:3], N, H)
    x = sc(x + jnp.einsum("sbtnh,snhd->sbtd", sc(o, *heads), w["wo"]), "stage", "data", "context", None)
    h = rmsnorm(x, w["norm2"][:, None, None])
    wide = ("stage", "data", "context", "model")
    g = sc(jnp.einsum("sbtd,sdf->sbtf", h, w["wgate"]), *wide)
    u = sc(jnp.einsum("sbtd,sdf->sbtf", h, w["wup"]), *wide)
    return sc(x + jnp.einsum("sbtf,sfd->sbtd", jax.nn.silu(g) * u, w["wdown"]), "stage", "data", "context", None)


@jax.checkpoint
def tick(state, entering, w):
    """Results of all stages move to the next one, and every stage computes its layers."""
    state = jnp.roll(state, 1, 0).at[0].set(entering)
    state = sc(state, "stage", "data", "context", None)
    for i in range(L // S):
        state = layer(state, {k: a[:, i] for k, a in w.items()})
    return state


def loss_fn(params, tok, tgt):
    w = gathered(params)
    x = sc(w["embed"][tok], "data", "context", None)
    # Microbatch m has the rows m, m + M, …, so that each is spread over the data axis.
    parts = sc(x.reshape(B // M, M, T, D).swapaxes(0, 1), None, "data", "context", None)
    ticks = jnp.concatenate([parts, jnp.zeros((S - 1, *parts.shape[1:]), parts.dtype)])
    stages = {k: w[k] for k in LAYER}

    def body(state, entering):
        state = tick(state, entering, stages)
        return state, state[-1]
    _, out = lax.scan(body, jnp.zeros((S, B // M, T, D), jnp.float32), ticks)
    y = sc(out[S - 1:].swapaxes(0, 1).reshape(B, T, D), "data", ("context", "stage"), None)
    logits = sc(jnp.einsum("btd,vd->btv", rmsnorm(y, w["norm"]), w["head"]), "data", ("context", "stage"), "model")
    onehot = tgt[..., None] == lax.broadcasted_iota(jnp.int32, (1, 1, V), 2)
    return jnp.mean(jax.nn.logsumexp(logits, -1) - jnp.sum(jnp.where(onehot, logits, 0.0), -1))


LR, B1, B2, EPS, DECAY = 3e-4, 0.9, 0.95, 1e-8, 0.1


def step(params, opt, tok, tgt):
    loss, g = jax.value_and_grad(loss_fn)(params, tok, tgt)
    count, mu, nu = opt
    count = count + 1
    mu = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, mu, g)
    nu = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, nu, g)
    c1, c2 = 1 - B1 ** count.astype(jnp.float32), 1 - B2 ** count.astype(jnp.float32)
    new = jax.tree.map(lambda p, m, v: p - LR * ((m / c1) / (jnp.sqrt(v / c2) + EPS) + DECAY * p), params, mu, nu)
    return new, (count, mu, nu), loss


jstep = jax.jit(step, in_shardings=(STORE, oshard, bshard, bshard), out_shardings=(STORE, oshard, NamedSharding(mesh, P())), donate_argnums=(0, 1))
t0 = time.perf_counter()
compiled = jstep.lower(params, opt, *batches[0]).compile()
t_compile = time.perf_counter() - t0
phase("compiled", seconds=round(t_compile, 3))
state = (params, opt)
t0 = time.perf_counter()
*state, loss = compiled(*state, *batches[0])
jax.block_until_ready((state, loss))
phase("first step", seconds=round(time.perf_counter() - t0, 3))


def one(done):
    global state
    *state, loss = compiled(*state, *batches[done % len(batches)])
    jax.block_until_ready((state, loss))
    return float(loss)


answer(dict(compile_s=t_compile, loss=float(loss), jax=jax.__version__), one)
