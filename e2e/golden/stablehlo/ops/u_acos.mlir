module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6x6xf32> {jax.result_info = ""}) {
    %0 = stablehlo.tanh %arg0 : tensor<6x6xf32>
    %cst = stablehlo.constant dense<-1.000000e+00> : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %2 = stablehlo.compare  NE, %0, %1,  FLOAT : (tensor<6x6xf32>, tensor<6x6xf32>) -> tensor<6x6xi1>
    %3 = stablehlo.multiply %0, %0 : tensor<6x6xf32>
    %cst_0 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %5 = stablehlo.subtract %4, %3 : tensor<6x6xf32>
    %6 = stablehlo.sqrt %5 : tensor<6x6xf32>
    %cst_1 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %7 = stablehlo.broadcast_in_dim %cst_1, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %8 = stablehlo.add %7, %0 : tensor<6x6xf32>
    %9 = stablehlo.atan2 %6, %8 : tensor<6x6xf32>
    %cst_2 = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %10 = stablehlo.broadcast_in_dim %cst_2, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %11 = stablehlo.multiply %10, %9 : tensor<6x6xf32>
    %cst_3 = stablehlo.constant dense<3.14159274> : tensor<f32>
    %12 = stablehlo.broadcast_in_dim %cst_3, dims = [] : (tensor<f32>) -> tensor<6x6xf32>
    %13 = stablehlo.select %2, %11, %12 : tensor<6x6xi1>, tensor<6x6xf32>
    return %13 : tensor<6x6xf32>
  }
}
