export { compileFiles, type CompileSubject } from "./bundle.js";
export { runTpuCompiler, type TpuReport, type TpuResult } from "./run-tpu-compiler.js";
