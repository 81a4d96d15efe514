export { type Schedule, printSchedule, schedule, verifySchedule } from "./schedule.js";
