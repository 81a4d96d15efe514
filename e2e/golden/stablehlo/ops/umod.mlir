module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3xui32>) -> (tensor<3xi32> {jax.result_info = ""}) {
    %c = stablehlo.constant dense<10> : tensor<ui32>
    %0 = call @remainder(%arg0, %c) : (tensor<3xui32>, tensor<ui32>) -> tensor<3xui32>
    %1 = stablehlo.convert %0 : (tensor<3xui32>) -> tensor<3xi32>
    return %1 : tensor<3xi32>
  }
  func.func private @remainder(%arg0: tensor<3xui32>, %arg1: tensor<ui32>) -> tensor<3xui32> {
    %c = stablehlo.constant dense<0> : tensor<ui32>
    %0 = stablehlo.compare  EQ, %arg1, %c,  UNSIGNED : (tensor<ui32>, tensor<ui32>) -> tensor<i1>
    %c_0 = stablehlo.constant dense<1> : tensor<ui32>
    %1 = call @_where(%0, %c_0, %arg1) : (tensor<i1>, tensor<ui32>, tensor<ui32>) -> tensor<ui32>
    %2 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<ui32>) -> tensor<3xui32>
    %3 = stablehlo.remainder %arg0, %2 : tensor<3xui32>
    %c_1 = stablehlo.constant dense<0> : tensor<ui32>
    %4 = stablehlo.broadcast_in_dim %c_1, dims = [] : (tensor<ui32>) -> tensor<3xui32>
    %5 = stablehlo.compare  NE, %3, %4,  UNSIGNED : (tensor<3xui32>, tensor<3xui32>) -> tensor<3xi1>
    %c_2 = stablehlo.constant dense<0> : tensor<ui32>
    %6 = stablehlo.broadcast_in_dim %c_2, dims = [] : (tensor<ui32>) -> tensor<3xui32>
    %7 = stablehlo.compare  LT, %3, %6,  UNSIGNED : (tensor<3xui32>, tensor<3xui32>) -> tensor<3xi1>
    %c_3 = stablehlo.constant dense<0> : tensor<ui32>
    %8 = stablehlo.compare  LT, %1, %c_3,  UNSIGNED : (tensor<ui32>, tensor<ui32>) -> tensor<i1>
    %9 = stablehlo.broadcast_in_dim %8, dims = [] : (tensor<i1>) -> tensor<3xi1>
    %10 = stablehlo.compare  NE, %7, %9,  UNSIGNED : (tensor<3xi1>, tensor<3xi1>) -> tensor<3xi1>
    %11 = stablehlo.and %10, %5 : tensor<3xi1>
    %12 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<ui32>) -> tensor<3xui32>
    %13 = stablehlo.add %3, %12 : tensor<3xui32>
    %14 = stablehlo.select %11, %13, %3 : tensor<3xi1>, tensor<3xui32>
    return %14 : tensor<3xui32>
  }
  func.func private @_where(%arg0: tensor<i1>, %arg1: tensor<ui32>, %arg2: tensor<ui32>) -> tensor<ui32> {
    %0 = stablehlo.select %arg0, %arg1, %arg2 : tensor<i1>, tensor<ui32>
    return %0 : tensor<ui32>
  }
}
