module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xi32> {jax.result_info = ""}) {
    %cst = stablehlo.constant dense<1.000000e+01> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %1 = stablehlo.multiply %arg0, %0 : tensor<6x6xf32>
    %2 = stablehlo.convert %1 : (tensor<6x6xf32>) -> tensor<6x6xi8>
    %cst_0 = stablehlo.constant dense<1.000000e+01> : tensor<f32>
    %3 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %4 = stablehlo.multiply %arg0, %3 : tensor<6x6xf32>
    %5 = stablehlo.convert %4 : (tensor<6x6xf32>) -> tensor<6x6xi8>
    %6 = stablehlo.dot_general %2, %5, contracting_dims = [1] x [1], precision = [DEFAULT, DEFAULT] : (tensor<6x6xi8>, tensor<6x6xi8>) -> tensor<6x6xi32>
    return %6 : tensor<6x6xi32>
  }
}
