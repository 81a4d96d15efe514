export { libraryPath } from "./library-path.js";
