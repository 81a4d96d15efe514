export { compileFiles, type CompileSubject } from "./bundle.js";
export { type EndedProcess, runToEnd } from "./run-to-end.js";
export { runTpuCompiler, type TpuReport, type TpuResult, type TpuRun } from "./run-tpu-compiler.js";
