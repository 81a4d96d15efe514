module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xf32> {jax.result_info = ""}) {
    %0 = stablehlo.abs %arg0 : tensor<6x6xf32>
    %cst = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %2 = stablehlo.add %1, %0 : tensor<6x6xf32>
    %3 = call @arccosh(%2) : (tensor<6x6xf32>) -> tensor<6x6xf32>
    return %3 : tensor<6x6xf32>
  }
  func.func private @arccosh(%arg0: tensor<6x6xf32>) -> tensor<6x6xf32> {
    %0 = chlo.acosh %arg0 : tensor<6x6xf32> -> tensor<6x6xf32>
    return %0 : tensor<6x6xf32>
  }
}
