"""
Plain JAX: a network of three layers, and SGD with momentum. The batch is split over 8 chips.

    python plain.py && lapidary launch plain.mlir steps=20 inputs=plain.safetensors
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from lapidary_jax import save

mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
rng = np.random.default_rng(0)


def matrix(rows, columns):
    return rng.normal(size=(rows, columns), scale=rows**-0.5).astype(np.float32)


def loss_fn(params, images, labels):
    for layer in params[:-1]:
        images = jax.nn.relu(images @ layer["w"] + layer["bias"])
    logits = images @ params[-1]["w"] + params[-1]["bias"]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def step(state, images, labels):
    loss, grads = jax.value_and_grad(loss_fn)(state["params"], images, labels)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, state["momentum"], grads)
    params = jax.tree.map(lambda p, m: p - 0.05 * m, state["params"], momentum)
    return {"params": params, "momentum": momentum}, {"loss": loss}


sizes = [(32, 64), (64, 64), (64, 10)]
params = [{"w": matrix(rows, columns), "bias": np.zeros(columns, np.float32)} for rows, columns in sizes]
state = {"params": params, "momentum": jax.tree.map(np.zeros_like, params)}
images, labels = rng.normal(size=(64, 32)).astype(np.float32), rng.integers(0, 10, 64).astype(np.int32)

replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
jitted = jax.jit(step, donate_argnums=0, in_shardings=(replicated, split, split), out_shardings=(replicated, None))
save("plain.mlir", jitted, state, images, labels)
