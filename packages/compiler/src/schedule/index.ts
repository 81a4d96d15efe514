export { type Schedule, type ScheduleOptions, printSchedule, schedule, verifySchedule } from "./schedule.js";
