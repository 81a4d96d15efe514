import { argv } from "node:process";
import { serveTasks } from "./serve-tasks.js";

// The process of one worker: node child-main.js OUT.
serveTasks(argv[2] ?? "");
