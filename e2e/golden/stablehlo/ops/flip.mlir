module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<300x2xf32>) -> (tensor<300x2xf32> {jax.result_info = ""}) {
    %0 = call @_flip(%arg0) : (tensor<300x2xf32>) -> tensor<300x2xf32>
    return %0 : tensor<300x2xf32>
  }
  func.func private @_flip(%arg0: tensor<300x2xf32>) -> tensor<300x2xf32> {
    %0 = stablehlo.reverse %arg0, dims = [0] : tensor<300x2xf32>
    return %0 : tensor<300x2xf32>
  }
}
