"""
As MaxText does it: logical axes with rules, layers in a scan with rematerialization, bf16 activations on f32 params,
a mesh of 256 chips that this machine does not have. The arrays are drawn by Lapidary.

    python maxtext_style.py && lapidary plan maxtext_style.mlir
    lapidary launch maxtext_style.mlir steps=20 tokens=256
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec as P
from lapidary_jax import save

vocab, width, mlp, layers, heads, length, rows = 256, 64, 256, 3, 16, 32, 32
mesh = AbstractMesh((16, 16), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
rules = {"batch": "data", "embed": "data", "heads": "model", "mlp": "model", "vocab": "model"}


def sharding(*logical):
    return NamedSharding(mesh, P(*[rules.get(axis) for axis in logical]))


def constrain(x, *logical):
    return lax.with_sharding_constraint(x, sharding(*logical))


# Name → dims, logical axes.
weights = {
    "embedding": ((vocab, width), ("vocab", "embed")),
    "layers": {
        "scale": ((layers, width), ("layers", "norm")),
        "qkv": ((layers, width, 3, heads, width // heads), ("layers", "embed", None, "heads", None)),
        "out": ((layers, heads, width // heads, width), ("layers", "heads", None, "embed")),
        "up": ((layers, width, mlp), ("layers", "embed", "mlp")),
        "down": ((layers, mlp, width), ("layers", "mlp", "embed")),
    },
    "scale": ((width,), ("norm",)),
}
is_weight = lambda x: isinstance(x, tuple)
params = jax.tree.map(lambda w: jax.ShapeDtypeStruct(w[0], jnp.float32), weights, is_leaf=is_weight)
split = jax.tree.map(lambda w: sharding(*w[1]), weights, is_leaf=is_weight)


def norm(x, scale):
    y = x.astype(jnp.float32)
    return (y * lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-6) * scale).astype(jnp.bfloat16)


def layer(x, p):
    p = jax.tree.map(lambda w: w.astype(jnp.bfloat16), p)
    q, k, v = jnp.moveaxis(jnp.einsum("btd,dnhk->btnhk", norm(x, p["scale"]), p["qkv"]), 2, 0)
    scores = jnp.einsum("bthk,bshk->bhts", q, k).astype(jnp.float32) * q.shape[-1] ** -0.5
    scores = jnp.where(jnp.tril(jnp.ones((x.shape[1],) * 2, bool)), scores, -1e9)
    mixed = jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores).astype(jnp.bfloat16), v)
    x = x + constrain(jnp.einsum("bthk,hkd->btd", constrain(mixed, "batch", None, "heads", None), p["out"]), "batch", None, None)
    h = constrain(jax.nn.gelu(norm(x, p["scale"]) @ p["up"]), "batch", None, "mlp")
    return x + constrain(h @ p["down"], "batch", None, None), None


def step(state, tokens):
    def loss_fn(params):
        x = constrain(params["embedding"].astype(jnp.bfloat16)[tokens[:, :-1]], "batch", None, None)
        x, _ = lax.scan(jax.checkpoint(layer), x, params["layers"])
        logits = (norm(x, params["scale"]) @ params["embedding"].astype(jnp.bfloat16).T).astype(jnp.float32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(constrain(logits, "batch", None, "vocab")), tokens[:, 1:, None], axis=-1)
        return -jnp.mean(chosen)

    loss, grads = jax.value_and_grad(loss_fn)(state["params"])
    trace = jax.tree.map(lambda m, g: 0.9 * m + g, state["trace"], grads)
    return {"params": jax.tree.map(lambda p, m: p - 0.02 * m, state["params"], trace), "trace": trace}, {"loss": loss}


state = {"params": params, "trace": params}
shardings = ({"params": split, "trace": split}, sharding("batch", None))
jitted = jax.jit(step, donate_argnums=0, in_shardings=shardings, out_shardings=(shardings[0], None))
save("maxtext_style.mlir", jitted, state, jax.ShapeDtypeStruct((rows, length + 1), jnp.int32))
