module @step attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
  sdy.mesh @mesh = <["data"=2, "model"=4]>
  func.func public @main(
      %v0: tensor<8x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"model"}p1, {"data"}p3]>} loc("table"),
      %v1: tensor<16x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"model"}p1, {"data"}p3]>, tf.aliasing_output = 1 : i32} loc("layers.0.w"),
      %v2: tensor<4xi32> {sdy.sharding = #sdy.sharding<@mesh, [{"data"}p0]>} loc("ids")
  ) -> (
      tensor<f32> {jax.result_info = "loss", sdy.sharding = #sdy.sharding<@mesh, []>},
      tensor<16x4xf32> {jax.result_info = "layers.0.w", sdy.sharding = #sdy.sharding<@mesh, [{"model"}p1, {"data"}p3]>}
  ) {
    %t0 = "stablehlo.gather"(%v0, %v2) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 4>, indices_are_sorted = false}> : (tensor<8x4xf32>, tensor<4xi32>) -> tensor<4x4xf32> loc("gather#3")
    %t1 = stablehlo.constant dense<0> : tensor<i32> loc("gather#3")
    %t2 = stablehlo.broadcast_in_dim %t1, dims = [] : (tensor<i32>) -> tensor<4xi32> loc("gather#3")
    %t3 = stablehlo.compare GE, %v2, %t2, SIGNED : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1> loc("gather#3")
    %t4 = stablehlo.constant dense<8> : tensor<i32> loc("gather#3")
    %t5 = stablehlo.broadcast_in_dim %t4, dims = [] : (tensor<i32>) -> tensor<4xi32> loc("gather#3")
    %t6 = stablehlo.compare LT, %v2, %t5, SIGNED : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1> loc("gather#3")
    %t7 = stablehlo.and %t3, %t6 : tensor<4xi1> loc("gather#3")
    %t8 = stablehlo.broadcast_in_dim %t7, dims = [0] : (tensor<4xi1>) -> tensor<4x4xi1> loc("gather#3")
    %t9 = stablehlo.constant dense<0.0> : tensor<f32> loc("gather#3")
    %t10 = stablehlo.broadcast_in_dim %t9, dims = [] : (tensor<f32>) -> tensor<4x4xf32> loc("gather#3")
    %v3 = stablehlo.select %t8, %t0, %t10 : tensor<4x4xi1>, tensor<4x4xf32> loc("gather#3")
    %v4 = stablehlo.dot_general %v3, %v1, contracting_dims = [1] x [1], precision = [HIGHEST, HIGHEST] : (tensor<4x4xf32>, tensor<16x4xf32>) -> tensor<4x16xf32> loc("dot_general#4")
    %v5 = stablehlo.tanh %v4 : tensor<4x16xf32> loc("layers.0.y#5")
    %v6 = stablehlo.iota dim = 1 : tensor<4x16xf32> loc("iota#6")
    %v7 = stablehlo.constant dense<3.0> : tensor<4x16xf32> loc("constant#7")
    %v8 = stablehlo.compare LT, %v6, %v7, FLOAT : (tensor<4x16xf32>, tensor<4x16xf32>) -> tensor<4x16xi1> loc("compare#8")
    %v9 = stablehlo.constant dense<0.0> : tensor<4x16xf32> loc("constant#9")
    %v10 = stablehlo.select %v8, %v5, %v9 : tensor<4x16xi1>, tensor<4x16xf32> loc("select#10")
    %v11 = stablehlo.reduce(%v10 init: %t9) applies stablehlo.add across dimensions = [0, 1] : (tensor<4x16xf32>, tensor<f32>) -> tensor<f32> loc("loss#11")
    %v12 = stablehlo.constant dense<0.5> : tensor<16x4xf32> loc("constant#12")
    %v13 = stablehlo.multiply %v1, %v12 : tensor<16x4xf32> loc("multiply#13")
    %v14 = stablehlo.subtract %v1, %v13 : tensor<16x4xf32> loc("subtract#14")
    return %v11, %v14 : tensor<f32>, tensor<16x4xf32>
  }
}
