export { compileFiles, type CompileSubject, type ModuleForm } from "./bundle.js";
export { runTpuCompiler, type TpuReport } from "./run-tpu-compiler.js";
