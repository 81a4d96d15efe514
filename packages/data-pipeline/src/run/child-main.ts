import { serveTasks } from "./serve-tasks.js";

// The process of one worker.
serveTasks();
