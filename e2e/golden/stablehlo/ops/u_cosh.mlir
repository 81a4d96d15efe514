module @jit_cosh attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xf32> {jax.result_info = ""}) {
    %0 = chlo.cosh %arg0 : tensor<6x6xf32> -> tensor<6x6xf32>
    return %0 : tensor<6x6xf32>
  }
}
