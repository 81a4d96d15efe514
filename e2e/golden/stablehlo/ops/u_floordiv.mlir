module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xf32> {jax.result_info = ""}) {
    %cst = stablehlo.constant dense<0.699999988> : tensor<f32>
    %0 = call @floor_divide(%arg0, %cst) : (tensor<6x6xf32>, tensor<f32>) -> tensor<6x6xf32>
    return %0 : tensor<6x6xf32>
  }
  func.func private @floor_divide(%arg0: tensor<6x6xf32>, %arg1: tensor<f32>) -> tensor<6x6xf32> {
    %0 = stablehlo.convert %arg1 : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %2 = stablehlo.remainder %arg0, %1 : tensor<6x6xf32>
    %3 = stablehlo.subtract %arg0, %2 : tensor<6x6xf32>
    %4 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %5 = stablehlo.divide %3, %4 : tensor<6x6xf32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %6 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %7 = stablehlo.compare  NE, %2, %6,  FLOAT : (tensor<6x6xf32>, tensor<6x6xf32>) -> tensor<6x6xi1>
    %8 = stablehlo.sign %0 : tensor<f32>
    %9 = stablehlo.sign %2 : tensor<6x6xf32>
    %10 = stablehlo.broadcast_in_dim %8, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %11 = stablehlo.compare  NE, %10, %9,  FLOAT : (tensor<6x6xf32>, tensor<6x6xf32>) -> tensor<6x6xi1>
    %12 = stablehlo.and %7, %11 : tensor<6x6xi1>
    %cst_0 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %13 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %14 = stablehlo.subtract %5, %13 : tensor<6x6xf32>
    %15 = stablehlo.select %12, %14, %5 : tensor<6x6xi1>, tensor<6x6xf32>
    %16 = stablehlo.round_nearest_afz %15 : tensor<6x6xf32>
    return %16 : tensor<6x6xf32>
  }
}
