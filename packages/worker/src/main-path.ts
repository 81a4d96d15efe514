/** The file that a worker process runs: `node … --socket PATH --name NAME [--lease SECONDS]`. */
export const workerMain = new URL("./main.js", import.meta.url);
