import { emptyView, type RunView } from "../model/route.js";
import type { AppState } from "./app-state.svelte.js";

/** The selections on a run's page. */
export const runView = (app: AppState): RunView => (app.route.page === "run" ? app.route.view : emptyView);
