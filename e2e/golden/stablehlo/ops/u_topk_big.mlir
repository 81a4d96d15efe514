module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x100xf32> {jax.result_info = ""}) {
    %0 = stablehlo.reshape %arg0 : (tensor<6x6xf32>) -> tensor<1x6x1x6xf32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [0, 1, 2, 3] : (tensor<1x6x1x6xf32>) -> tensor<1x6x20x6xf32>
    %2 = stablehlo.reshape %1 : (tensor<1x6x20x6xf32>) -> tensor<6x120xf32>
    %values, %indices = chlo.top_k(%2, k = 100) : tensor<6x120xf32> -> (tensor<6x100xf32>, tensor<6x100xi32>)
    return %values : tensor<6x100xf32>
  }
}
