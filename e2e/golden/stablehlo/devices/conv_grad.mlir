module @jit__lambda_ attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<8x6x2xf32> {mhlo.sharding = "{devices=[4,1,1,2]<=[8] last_tile_dim_replicate}"}, %arg1: tensor<3x2x2xf32> {mhlo.sharding = "{replicated}"}) -> (tensor<3x2x2xf32> {jax.result_info = ""}) {
    %0 = stablehlo.custom_call @Sharding(%arg0) {backend_config = "", mhlo.sharding = "{devices=[4,1,1,2]<=[8] last_tile_dim_replicate}"} : (tensor<8x6x2xf32>) -> tensor<8x6x2xf32>
    %1 = stablehlo.custom_call @SPMDFullToShardShape(%0) {backend_config = "", mhlo.sharding = "{manual}"} : (tensor<8x6x2xf32>) -> tensor<2x6x2xf32>
    %2 = stablehlo.custom_call @Sharding(%arg1) {backend_config = "", mhlo.sharding = "{replicated}"} : (tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    %3 = stablehlo.custom_call @SPMDFullToShardShape(%2) {backend_config = "", mhlo.sharding = "{manual}"} : (tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    %4 = call @shmap_body(%1, %3) : (tensor<2x6x2xf32>, tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    %5 = stablehlo.custom_call @Sharding(%4) {backend_config = "", mhlo.sharding = "{manual}"} : (tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    %6 = stablehlo.custom_call @SPMDShardToFullShape(%5) {backend_config = "", mhlo.sharding = "{replicated}"} : (tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    return %6 : tensor<3x2x2xf32>
  }
  func.func private @shmap_body(%arg0: tensor<2x6x2xf32>, %arg1: tensor<3x2x2xf32>) -> (tensor<3x2x2xf32> {jax.result_info = "[None, None, None]"}) {
    %0 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, 0, f]x[0, i, o]->[b, 0, f], window = {stride = [1], pad = [[1, 1]], lhs_dilate = [1], rhs_dilate = [1], reverse = [false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]} : (tensor<2x6x2xf32>, tensor<3x2x2xf32>) -> tensor<2x6x2xf32>
    %1 = call @integer_pow(%0) : (tensor<2x6x2xf32>) -> tensor<2x6x2xf32>
    %cst = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %2 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<2x6x2xf32>
    %3 = stablehlo.multiply %2, %1 : tensor<2x6x2xf32>
    %cst_0 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<2x6x2xf32>
    %5 = stablehlo.multiply %4, %3 : tensor<2x6x2xf32>
    %6 = stablehlo.convolution(%arg0, %5) dim_numbers = [f, 0, b]x[i, 0, o]->[0, b, f], window = {stride = [1], pad = [[1, 1]], lhs_dilate = [1], rhs_dilate = [1], reverse = [false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]} : (tensor<2x6x2xf32>, tensor<2x6x2xf32>) -> tensor<3x2x2xf32>
    %7 = "stablehlo.all_reduce"(%6) <{channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, replica_groups = dense<[[0, 2, 4, 6], [1, 3, 5, 7]]> : tensor<2x4xi64>, use_global_device_ids}> ({
    ^bb0(%arg2: tensor<f32>, %arg3: tensor<f32>):
      %8 = stablehlo.add %arg2, %arg3 : tensor<f32>
      stablehlo.return %8 : tensor<f32>
    }) : (tensor<3x2x2xf32>) -> tensor<3x2x2xf32>
    return %7 : tensor<3x2x2xf32>
  }
  func.func private @integer_pow(%arg0: tensor<2x6x2xf32>) -> tensor<2x6x2xf32> {
    return %arg0 : tensor<2x6x2xf32>
  }
}
