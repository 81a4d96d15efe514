export { compileFiles, type CompileSubject, type ModuleForm } from "./bundle.js";
export { type CompiledStep, doesNotFitText, reportText } from "./report-text.js";
export { runTpuCompiler, type TpuReport } from "./run-tpu-compiler.js";
