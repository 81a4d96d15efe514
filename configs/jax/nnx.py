"""
Flax nnx and optax: a small decoder, AdamW, params and moments split over 8 chips (FSDP).

    pip install flax optax
    python nnx.py && lapidary launch nnx.mlir steps=20 inputs=nnx.safetensors
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec as P
from lapidary_jax import save

vocab, width, layers, heads, length, rows = 64, 32, 2, 4, 16, 16
mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


class Block(nnx.Module):
    def __init__(self, rngs):
        self.norm1, self.norm2 = nnx.RMSNorm(width, rngs=rngs), nnx.RMSNorm(width, rngs=rngs)
        self.q, self.k, self.v, self.out = (nnx.Linear(width, width, use_bias=False, rngs=rngs) for _ in range(4))
        self.up, self.down = nnx.Linear(width, 2 * width, rngs=rngs), nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x):
        h = self.norm1(x)
        q, k, v = (f(h).reshape(*h.shape[:2], heads, width // heads) for f in (self.q, self.k, self.v))
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.reshape(h.shape))
        return x + self.down(jax.nn.gelu(self.up(self.norm2(x))))


class Decoder(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(vocab, width, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(layers)])
        self.norm = nnx.RMSNorm(width, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.embed.attend(self.norm(x))


graph, params = nnx.split(Decoder(nnx.Rngs(0)), nnx.Param)[:2]
optimizer = optax.adamw(3e-3)
state = {"params": params, "opt": optimizer.init(params)}


def step(state, tokens):
    def loss_fn(params):
        logits = nnx.merge(graph, params)(tokens[:, :-1])
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state["params"])
    updates, opt = optimizer.update(grads, state["opt"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "opt": opt}, {"loss": loss, "grad_norm": optax.global_norm(grads)}


def largest_dim(leaf):
    """Splits the largest dim of a matrix that 8 divides."""
    dims = [d for d in range(leaf.ndim) if leaf.ndim > 1 and leaf.shape[d] % 8 == 0]
    best = max(dims, key=lambda d: leaf.shape[d], default=None)
    return NamedSharding(mesh, P(*["data" if d == best else None for d in range(leaf.ndim)]))


rng = np.random.default_rng(0)
starts = rng.integers(0, vocab, (rows, 1))
tokens = ((starts + 3 * np.arange(length + 1)) % vocab).astype(np.int32)
split = jax.tree.map(largest_dim, state)
jitted = jax.jit(step, donate_argnums=0, in_shardings=(split, NamedSharding(mesh, P("data"))), out_shardings=(split, None))
save("nnx.mlir", jitted, state, tokens)
