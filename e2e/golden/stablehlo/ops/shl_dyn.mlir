module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3xui32>, %arg1: tensor<3xui32>) -> (tensor<3xi32> {jax.result_info = ""}) {
    %0 = stablehlo.shift_right_logical %arg0, %arg1 : tensor<3xui32>
    %1 = stablehlo.convert %0 : (tensor<3xui32>) -> tensor<3xi32>
    return %1 : tensor<3xi32>
  }
}
