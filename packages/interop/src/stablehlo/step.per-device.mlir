#groups0 = dense<[[0,4],[1,5],[2,6],[3,7]]> : tensor<4x2xi64>
#groups1 = dense<[[0,1,2,3],[4,5,6,7]]> : tensor<2x4xi64>
#groups2 = dense<[[0,1,2,3,4,5,6,7]]> : tensor<1x8xi64>
module @step attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
  sdy.mesh @mesh = <["data"=2, "model"=4]>
  func.func public @main(
      %arg0: tensor<8x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"model"}, {"data"}]>} loc("table"),
      %arg1: tensor<16x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"model"}, {"data"}]>, tf.aliasing_output = 1 : i32} loc("layers.0.w"),
      %arg2: tensor<4xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"data"}]>} loc("ids")
  ) -> (
      tensor<f32> {jax.result_info = "loss", sdy.sharding = #sdy.sharding<@mesh, []>},
      tensor<16x4xf32> {jax.result_info = "layers.0.w", sdy.sharding = #sdy.sharding<@mesh, [{"model"}, {"data"}]>}
  ) {
    %r:2 = sdy.manual_computation(%arg0, %arg1, %arg2)
        in_shardings=[<@mesh, [{"model"}, {"data"}]>, <@mesh, [{"model"}, {"data"}]>, <@mesh, [{"data"}]>]
        out_shardings=[<@mesh, []>, <@mesh, [{"model"}, {"data"}]>]
        manual_axes={"data", "model"} (%v0: tensor<2x2xf32>, %v1: tensor<4x2xf32>, %v2: tensor<2xi32>) {
      %v3 = "stablehlo.all_gather"(%v0) <{all_gather_dim = 1 : i64, channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, replica_groups = #groups0, use_global_device_ids}> : (tensor<2x2xf32>) -> tensor<2x4xf32> loc("table#3")
      %t0 = stablehlo.partition_id : tensor<ui32> loc("gather#4")
      %t1 = stablehlo.convert %t0 : (tensor<ui32>) -> tensor<i32> loc("gather#4")
      %t2 = stablehlo.constant dense<4> : tensor<i32> loc("gather#4")
      %t3 = stablehlo.remainder %t1, %t2 : tensor<i32> loc("gather#4")
      %t4 = stablehlo.constant dense<2> : tensor<i32> loc("gather#4")
      %t5 = stablehlo.multiply %t3, %t4 : tensor<i32> loc("gather#4")
      %t6 = stablehlo.broadcast_in_dim %t5, dims = [] : (tensor<i32>) -> tensor<2xi32> loc("gather#4")
      %t7 = stablehlo.subtract %v2, %t6 : tensor<2xi32> loc("gather#4")
      %t8 = "stablehlo.gather"(%v3, %t7) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 4>, indices_are_sorted = false}> : (tensor<2x4xf32>, tensor<2xi32>) -> tensor<2x4xf32> loc("gather#4")
      %t9 = stablehlo.constant dense<0> : tensor<i32> loc("gather#4")
      %t10 = stablehlo.broadcast_in_dim %t9, dims = [] : (tensor<i32>) -> tensor<2xi32> loc("gather#4")
      %t11 = stablehlo.compare GE, %t7, %t10, SIGNED : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1> loc("gather#4")
      %t12 = stablehlo.broadcast_in_dim %t4, dims = [] : (tensor<i32>) -> tensor<2xi32> loc("gather#4")
      %t13 = stablehlo.compare LT, %t7, %t12, SIGNED : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1> loc("gather#4")
      %t14 = stablehlo.and %t11, %t13 : tensor<2xi1> loc("gather#4")
      %t15 = stablehlo.broadcast_in_dim %t14, dims = [0] : (tensor<2xi1>) -> tensor<2x4xi1> loc("gather#4")
      %t16 = stablehlo.constant dense<0.0> : tensor<f32> loc("gather#4")
      %t17 = stablehlo.broadcast_in_dim %t16, dims = [] : (tensor<f32>) -> tensor<2x4xf32> loc("gather#4")
      %v4 = stablehlo.select %t15, %t8, %t17 : tensor<2x4xi1>, tensor<2x4xf32> loc("gather#4")
      %v5 = "stablehlo.all_reduce"(%v4) <{channel_handle = #stablehlo.channel_handle<handle = 2, type = 1>, replica_groups = #groups1, use_global_device_ids}> ({
        ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %c = stablehlo.add %a, %b : tensor<f32>
          stablehlo.return %c : tensor<f32>
      }) : (tensor<2x4xf32>) -> tensor<2x4xf32> loc("gather#5")
      %v6 = "stablehlo.all_gather"(%v1) <{all_gather_dim = 1 : i64, channel_handle = #stablehlo.channel_handle<handle = 3, type = 1>, replica_groups = #groups0, use_global_device_ids}> : (tensor<4x2xf32>) -> tensor<4x4xf32> loc("layers.0.w#6")
      %v7 = stablehlo.dot_general %v5, %v6, contracting_dims = [1] x [1], precision = [HIGHEST, HIGHEST] : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("dot_general#7")
      %v8 = stablehlo.tanh %v7 : tensor<2x4xf32> loc("layers.0.y#8")
      %t18 = stablehlo.multiply %t3, %t2 : tensor<i32> loc("iota#9")
      %t19 = stablehlo.convert %t18 : (tensor<i32>) -> tensor<f32> loc("iota#9")
      %t20 = stablehlo.iota dim = 1 : tensor<2x4xf32> loc("iota#9")
      %t21 = stablehlo.broadcast_in_dim %t19, dims = [] : (tensor<f32>) -> tensor<2x4xf32> loc("iota#9")
      %v9 = stablehlo.add %t20, %t21 : tensor<2x4xf32> loc("iota#9")
      %v10 = stablehlo.constant dense<3.0> : tensor<2x4xf32> loc("constant#10")
      %v11 = stablehlo.compare LT, %v9, %v10, FLOAT : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xi1> loc("compare#11")
      %v12 = stablehlo.constant dense<0.0> : tensor<2x4xf32> loc("constant#12")
      %v13 = stablehlo.select %v11, %v8, %v12 : tensor<2x4xi1>, tensor<2x4xf32> loc("select#13")
      %v14 = stablehlo.reduce(%v13 init: %t16) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x4xf32>, tensor<f32>) -> tensor<f32> loc("loss#14")
      %v15 = "stablehlo.all_reduce"(%v14) <{channel_handle = #stablehlo.channel_handle<handle = 4, type = 1>, replica_groups = #groups2, use_global_device_ids}> ({
        ^bb0(%a: tensor<f32>, %b: tensor<f32>):
          %c = stablehlo.add %a, %b : tensor<f32>
          stablehlo.return %c : tensor<f32>
      }) : (tensor<f32>) -> tensor<f32> loc("loss#15")
      %v16 = stablehlo.constant dense<0.5> : tensor<4x2xf32> loc("constant#16")
      %v17 = stablehlo.multiply %v1, %v16 : tensor<4x2xf32> loc("multiply#17")
      %v18 = stablehlo.subtract %v1, %v17 : tensor<4x2xf32> loc("subtract#18")
      sdy.return %v15, %v18 : tensor<f32>, tensor<4x2xf32>
    } : (tensor<8x4xf32>, tensor<16x4xf32>, tensor<4xi32>) -> (tensor<f32>, tensor<16x4xf32>)
    return %r#0, %r#1 : tensor<f32>, tensor<16x4xf32>
  }
}
