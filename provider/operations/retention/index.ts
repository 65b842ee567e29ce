export { daysCovered, daysKept } from "./coverage";
export { applyRetention, type Decision, type Point } from "./decision";
export type { Retention } from "./policy";
export { validateRetention } from "./validation";
