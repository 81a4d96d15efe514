module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<6x6xf32>) -> (tensor<6xf32> {jax.result_info = ""}) {
    %0 = stablehlo.reshape %arg0 : (tensor<6x6xf32>) -> tensor<3x2x6xf32>
    %1 = stablehlo.slice %arg0 [6:6, 0:6] : (tensor<6x6xf32>) -> tensor<0x6xf32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %2 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<3x2xf32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %3:3 = stablehlo.while(%iterArg = %0, %iterArg_0 = %c, %iterArg_1 = %2) : tensor<3x2x6xf32>, tensor<i32>, tensor<3x2xf32>
     cond {
      %c_2 = stablehlo.constant dense<3> : tensor<i32>
      %8 = stablehlo.compare  LT, %iterArg_0, %c_2,  SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %8 : tensor<i1>
    } do {
      %c_2 = stablehlo.constant dense<0> : tensor<i32>
      %8 = stablehlo.compare  LT, %iterArg_0, %c_2,  SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %9 = stablehlo.convert %iterArg_0 : tensor<i32>
      %c_3 = stablehlo.constant dense<3> : tensor<i32>
      %10 = stablehlo.add %9, %c_3 : tensor<i32>
      %11 = stablehlo.select %8, %10, %iterArg_0 : tensor<i1>, tensor<i32>
      %c_4 = stablehlo.constant dense<0> : tensor<i32>
      %c_5 = stablehlo.constant dense<0> : tensor<i32>
      %12 = stablehlo.dynamic_slice %iterArg, %11, %c_4, %c_5, sizes = [1, 2, 6] : (tensor<3x2x6xf32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x2x6xf32>
      %13 = stablehlo.reshape %12 : (tensor<1x2x6xf32>) -> tensor<2x6xf32>
      %14 = func.call @None(%13) : (tensor<2x6xf32>) -> tensor<2xf32>
      %15 = stablehlo.broadcast_in_dim %14, dims = [1] : (tensor<2xf32>) -> tensor<1x2xf32>
      %c_6 = stablehlo.constant dense<0> : tensor<i32>
      %16 = stablehlo.compare  LT, %iterArg_0, %c_6,  SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %17 = stablehlo.convert %iterArg_0 : tensor<i32>
      %c_7 = stablehlo.constant dense<3> : tensor<i32>
      %18 = stablehlo.add %17, %c_7 : tensor<i32>
      %19 = stablehlo.select %16, %18, %iterArg_0 : tensor<i1>, tensor<i32>
      %c_8 = stablehlo.constant dense<0> : tensor<i32>
      %20 = stablehlo.dynamic_update_slice %iterArg_1, %15, %19, %c_8 : (tensor<3x2xf32>, tensor<1x2xf32>, tensor<i32>, tensor<i32>) -> tensor<3x2xf32>
      %c_9 = stablehlo.constant dense<1> : tensor<i32>
      %21 = stablehlo.add %iterArg_0, %c_9 : tensor<i32>
      stablehlo.return %iterArg, %21, %20 : tensor<3x2x6xf32>, tensor<i32>, tensor<3x2xf32>
    }
    %4 = stablehlo.tanh %1 : tensor<0x6xf32>
    %5 = stablehlo.dot_general %4, %1, batching_dims = [0] x [0], contracting_dims = [1] x [1], precision = [DEFAULT, DEFAULT] : (tensor<0x6xf32>, tensor<0x6xf32>) -> tensor<0xf32>
    %6 = stablehlo.reshape %3#2 : (tensor<3x2xf32>) -> tensor<6xf32>
    %7 = stablehlo.concatenate %6, %5, dim = 0 : (tensor<6xf32>, tensor<0xf32>) -> tensor<6xf32>
    return %7 : tensor<6xf32>
  }
  func.func private @None(%arg0: tensor<2x6xf32>) -> tensor<2xf32> {
    %0 = stablehlo.tanh %arg0 : tensor<2x6xf32>
    %1 = stablehlo.dot_general %0, %arg0, batching_dims = [0] x [0], contracting_dims = [1] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x6xf32>, tensor<2x6xf32>) -> tensor<2xf32>
    return %1 : tensor<2xf32>
  }
}
