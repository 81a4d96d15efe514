module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3xui32>) -> (tensor<3xi32> {jax.result_info = ""}) {
    %c = stablehlo.constant dense<10> : tensor<ui32>
    %0 = call @floor_divide(%arg0, %c) : (tensor<3xui32>, tensor<ui32>) -> tensor<3xui32>
    %1 = stablehlo.convert %0 : (tensor<3xui32>) -> tensor<3xi32>
    return %1 : tensor<3xi32>
  }
  func.func private @floor_divide(%arg0: tensor<3xui32>, %arg1: tensor<ui32>) -> tensor<3xui32> {
    %0 = stablehlo.broadcast_in_dim %arg1, dims = [] : (tensor<ui32>) -> tensor<3xui32>
    %1 = stablehlo.divide %arg0, %0 : tensor<3xui32>
    return %1 : tensor<3xui32>
  }
}
