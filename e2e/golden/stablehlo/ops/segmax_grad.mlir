module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<9x2xf32>, %arg1: tensor<9xi32>) -> (tensor<9x2xf32> {jax.result_info = ""}) {
    %cst = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<5x2xf32>
    %1 = stablehlo.broadcast_in_dim %arg1, dims = [0] : (tensor<9xi32>) -> tensor<9x1xi32>
    %2 = "stablehlo.scatter"(%0, %1, %arg0) <{indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = false}> ({
    ^bb0(%arg2: tensor<f32>, %arg3: tensor<f32>):
      %60 = stablehlo.maximum %arg2, %arg3 : tensor<f32>
      stablehlo.return %60 : tensor<f32>
    }) : (tensor<5x2xf32>, tensor<9x1xi32>, tensor<9x2xf32>) -> tensor<5x2xf32>
    %3 = "stablehlo.gather"(%0, %1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 2>}> : (tensor<5x2xf32>, tensor<9x1xi32>) -> tensor<9x2xf32>
    %4 = "stablehlo.gather"(%2, %1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 2>}> : (tensor<5x2xf32>, tensor<9x1xi32>) -> tensor<9x2xf32>
    %5 = stablehlo.compare  EQ, %arg0, %4,  FLOAT : (tensor<9x2xf32>, tensor<9x2xf32>) -> tensor<9x2xi1>
    %6 = stablehlo.compare  EQ, %3, %4,  FLOAT : (tensor<9x2xf32>, tensor<9x2xf32>) -> tensor<9x2xi1>
    %cst_0 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %7 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<5x2xf32>
    %cst_1 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %8 = stablehlo.broadcast_in_dim %cst_1, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %cst_2 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %9 = stablehlo.broadcast_in_dim %cst_2, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %10 = stablehlo.select %5, %8, %9 : tensor<9x2xi1>, tensor<9x2xf32>
    %11 = "stablehlo.scatter"(%7, %1, %10) <{indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = false}> ({
    ^bb0(%arg2: tensor<f32>, %arg3: tensor<f32>):
      %60 = stablehlo.add %arg2, %arg3 : tensor<f32>
      stablehlo.return %60 : tensor<f32>
    }) : (tensor<5x2xf32>, tensor<9x1xi32>, tensor<9x2xf32>) -> tensor<5x2xf32>
    %12 = "stablehlo.gather"(%11, %1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 2>}> : (tensor<5x2xf32>, tensor<9x1xi32>) -> tensor<9x2xf32>
    %cst_3 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %13 = stablehlo.broadcast_in_dim %cst_3, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %14 = stablehlo.add %12, %13 : tensor<9x2xf32>
    %cst_4 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %15 = stablehlo.broadcast_in_dim %cst_4, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %16 = stablehlo.divide %15, %14 : tensor<9x2xf32>
    %cst_5 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %17 = stablehlo.broadcast_in_dim %cst_5, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %18 = stablehlo.divide %17, %12 : tensor<9x2xf32>
    %19 = stablehlo.select %6, %16, %18 : tensor<9x2xi1>, tensor<9x2xf32>
    %cst_6 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %20 = stablehlo.broadcast_in_dim %cst_6, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %21 = stablehlo.select %5, %19, %20 : tensor<9x2xi1>, tensor<9x2xf32>
    %22 = call @integer_pow(%2) : (tensor<5x2xf32>) -> tensor<5x2xf32>
    %cst_7 = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %23 = stablehlo.broadcast_in_dim %cst_7, dims = [] : (tensor<f32>) -> tensor<5x2xf32>
    %24 = stablehlo.multiply %23, %22 : tensor<5x2xf32>
    %cst_8 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %25 = stablehlo.broadcast_in_dim %cst_8, dims = [] : (tensor<f32>) -> tensor<5x2xf32>
    %26 = stablehlo.multiply %25, %24 : tensor<5x2xf32>
    %c = stablehlo.constant dense<0> : tensor<1xi32>
    %c_9 = stablehlo.constant dense<0> : tensor<1xi32>
    %c_10 = stablehlo.constant dense<5> : tensor<i32>
    %27 = stablehlo.broadcast_in_dim %c_10, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %c_11 = stablehlo.constant dense<2> : tensor<i32>
    %28 = stablehlo.broadcast_in_dim %c_11, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %29 = stablehlo.concatenate %27, %28, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %c_12 = stablehlo.constant dense<0> : tensor<i32>
    %30 = stablehlo.broadcast_in_dim %c_12, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %31 = stablehlo.compare  LT, %c, %30,  SIGNED : (tensor<1xi32>, tensor<1xi32>) -> tensor<1xi1>
    %c_13 = stablehlo.constant dense<2> : tensor<i32>
    %32 = stablehlo.broadcast_in_dim %c_13, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %33 = stablehlo.add %c, %32 : tensor<1xi32>
    %34 = stablehlo.select %31, %33, %c : tensor<1xi1>, tensor<1xi32>
    %35 = stablehlo.broadcast_in_dim %34, dims = [0] : (tensor<1xi32>) -> tensor<1x1xi32>
    %36 = "stablehlo.gather"(%29, %35) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1>}> : (tensor<2xi32>, tensor<1x1xi32>) -> tensor<1xi32>
    %c_14 = stablehlo.constant dense<1> : tensor<i32>
    %37 = stablehlo.broadcast_in_dim %c_14, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %c_15 = stablehlo.constant dense<2> : tensor<i32>
    %38 = stablehlo.broadcast_in_dim %c_15, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %39 = stablehlo.concatenate %37, %38, dim = 0 : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %c_16 = stablehlo.constant dense<0> : tensor<i32>
    %40 = stablehlo.broadcast_in_dim %c_16, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %41 = stablehlo.compare  LT, %c_9, %40,  SIGNED : (tensor<1xi32>, tensor<1xi32>) -> tensor<1xi1>
    %c_17 = stablehlo.constant dense<2> : tensor<i32>
    %42 = stablehlo.broadcast_in_dim %c_17, dims = [] : (tensor<i32>) -> tensor<1xi32>
    %43 = stablehlo.add %c_9, %42 : tensor<1xi32>
    %44 = stablehlo.select %41, %43, %c_9 : tensor<1xi1>, tensor<1xi32>
    %45 = stablehlo.broadcast_in_dim %44, dims = [0] : (tensor<1xi32>) -> tensor<1x1xi32>
    %46 = "stablehlo.gather"(%39, %45) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1>}> : (tensor<2xi32>, tensor<1x1xi32>) -> tensor<1xi32>
    %47 = stablehlo.subtract %36, %46 : tensor<1xi32>
    %c_18 = stablehlo.constant dense<0> : tensor<i32>
    %48 = stablehlo.broadcast_in_dim %c_18, dims = [] : (tensor<i32>) -> tensor<9x1xi32>
    %49 = stablehlo.compare  GE, %1, %48,  SIGNED : (tensor<9x1xi32>, tensor<9x1xi32>) -> tensor<9x1xi1>
    %50 = stablehlo.broadcast_in_dim %47, dims = [1] : (tensor<1xi32>) -> tensor<1x1xi32>
    %51 = stablehlo.broadcast_in_dim %50, dims = [0, 1] : (tensor<1x1xi32>) -> tensor<9x1xi32>
    %52 = stablehlo.compare  LE, %1, %51,  SIGNED : (tensor<9x1xi32>, tensor<9x1xi32>) -> tensor<9x1xi1>
    %53 = stablehlo.and %49, %52 : tensor<9x1xi1>
    %c_19 = stablehlo.constant dense<true> : tensor<i1>
    %54 = stablehlo.reduce(%53 init: %c_19) applies stablehlo.and across dimensions = [1] : (tensor<9x1xi1>, tensor<i1>) -> tensor<9xi1>
    %55 = "stablehlo.gather"(%26, %1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 2>}> : (tensor<5x2xf32>, tensor<9x1xi32>) -> tensor<9x2xf32>
    %56 = stablehlo.broadcast_in_dim %54, dims = [0] : (tensor<9xi1>) -> tensor<9x2xi1>
    %cst_20 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %57 = stablehlo.broadcast_in_dim %cst_20, dims = [] : (tensor<f32>) -> tensor<9x2xf32>
    %58 = stablehlo.select %56, %55, %57 : tensor<9x2xi1>, tensor<9x2xf32>
    %59 = stablehlo.multiply %58, %21 : tensor<9x2xf32>
    return %59 : tensor<9x2xf32>
  }
  func.func private @integer_pow(%arg0: tensor<5x2xf32>) -> tensor<5x2xf32> {
    return %arg0 : tensor<5x2xf32>
  }
}
