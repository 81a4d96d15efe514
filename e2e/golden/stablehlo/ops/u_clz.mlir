module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xi32> {jax.result_info = ""}) {
    %cst = stablehlo.constant dense<1.000000e+02> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %1 = stablehlo.multiply %arg0, %0 : tensor<6x6xf32>
    %2 = stablehlo.convert %1 : (tensor<6x6xf32>) -> tensor<6x6xi32>
    %3 = stablehlo.count_leading_zeros %2 : tensor<6x6xi32>
    return %3 : tensor<6x6xi32>
  }
}
