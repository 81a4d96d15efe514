// Answers requests as `serveTasks` does. The stage of a task is what the process does.
process.on("disconnect", () => process.exit());
process.on("message", ({ task }: { readonly task?: { readonly stage: string } }) => {
  // The first message opens a store.
  if (task === undefined) return;
  if (task.stage === "kill") process.kill(process.pid, "SIGKILL");
  else if (task.stage === "exit") process.exit(7);
  else if (task.stage === "throw") process.send?.({ kind: "crashed", stack: "RangeError: too deep" });
  else if (task.stage === "fail")
    process.send?.({ kind: "failed", error: { code: "LAP_DATA_STORE", message: "damaged", remedy: "", exit: 1 } });
  else {
    process.send?.({ kind: "probed", ids: [String(process.pid)] });
    // The process ends while no request is in flight.
    if (task.stage === "answer and exit") setImmediate(() => process.exit());
  }
});
