export type { Plan, StagePlan, Task } from "./plan/plan.js";
export type { Shard, ShardFile } from "./plan/shard.js";
export { stageTable } from "./stages/table.js";
export type { Edit, ShardView, ViewDocument } from "./view/view.js";
