import { WorkerPool } from "../worker-pool.js";

// A process that holds a pool until it is killed: prints the pids of its workers once they stand ready.
const pool = await WorkerPool.start({ environment: process.env, warm: 2 });
const workers = await pool.take(2);
process.stdout.write(`${JSON.stringify({ pids: workers.map((worker) => worker.pid), directory: pool.directory })}\n`);
setInterval(() => undefined, 1 << 30);
