/**
 * Rules for imports between packages, for dependency-cruiser in `npm run lint`. The tag `layer:N` of each `project.json`, which nx
 * also reads, orders the packages. A package imports only packages of a lower layer.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** @type {{ name: string, layer: number }[]} */
const packages = readdirSync("packages")
  .filter((name) => existsSync(`packages/${name}/project.json`))
  .map((name) => ({ name, layer: layerOf(name) }));

/** @param {string} name a directory of packages/ */
function layerOf(name) {
  /** @type {{ tags?: string[] }} */
  const project = JSON.parse(readFileSync(`packages/${name}/project.json`, "utf8"));
  const tag = project.tags?.find((each) => /^layer:\d+$/.test(each));
  if (tag === undefined) throw new Error(`packages/${name}/project.json has no tag layer:N`);
  return Number(tag.slice("layer:".length));
}

/** @param {{ name: string, layer: number }} of */
function upwardRule({ name, layer }) {
  const others = packages.filter((each) => each.name !== name && each.layer >= layer).map((each) => each.name);
  return {
    name: `layer-${name}`,
    comment: `packages/${name} (layer ${layer}) imports packages of lower layers only`,
    severity: "error",
    from: { path: `^packages/${name}/` },
    to: { path: `^packages/(${others.join("|")})/` },
  };
}

/** External packages that one package of the project wraps. Other packages import the wrapper. */
const wrapped = [
  { library: "(^|/)@tensorflow/", owner: "executor" },
  { library: "(^|/)node_modules/(ioredis|bullmq)/", owner: "control" },
];

/**
 * The packages that a user interface may import. It reaches the coordinator through `api`, and computations in its own process through `offline`.
 * @type {{ name: string, imports: string[], modules?: string[] }[]}
 */
const interfaces = [
  { name: "cli", imports: ["std", "api", "offline", "report"], modules: ["coordinator/dist/service-process", "coordinator/dist/recorded-runs"] },
  { name: "report", imports: ["std", "api", "offline"] },
  { name: "dashboard", imports: ["std", "api"] },
];

/** @param {{ name: string, imports: string[], modules?: string[] }} of */
const interfaceRule = ({ name, imports, modules = [] }) => ({
  name: `interface-${name}`,
  comment: `packages/${name} imports ${[...imports, ...modules].join(", ")} only`,
  severity: "error",
  from: { path: `^packages/${name}/` },
  to: {
    path: "^packages/",
    pathNot: [`^packages/(${[name, ...imports].join("|")})/`, ...modules.map((module) => `^packages/${module}\\.`)],
  },
});

export default {
  forbidden: [
    ...packages.filter(({ name, layer }) => packages.some((each) => each.name !== name && each.layer >= layer)).map(upwardRule),
    ...interfaces.map(interfaceRule),
    ...wrapped.map(({ library, owner }) => ({
      name: `only-${owner}`,
      comment: `only packages/${owner} imports this library`,
      severity: "error",
      from: { path: "^packages/", pathNot: `^packages/${owner}/` },
      to: { path: library },
    })),
    {
      name: "relative-import-leaves-package",
      comment: "a package imports another by its name; some may import tools/setup",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: { path: "^(packages|tools|e2e)/", pathNot: ["^packages/$1/", "^tools/setup/"], dependencyTypes: ["local"] },
    },
    {
      name: "tools-setup",
      comment: "tools/setup runs before the build; only packages that check the machine import it",
      severity: "error",
      from: { path: "^packages/", pathNot: "^packages/(std|api|control|cluster|coordinator|cli)/" },
      to: { path: "^tools/" },
    },
    {
      name: "undeclared-dependency",
      comment: "package.json of the importing package names what it imports",
      severity: "error",
      from: { path: "^packages/", pathNot: "\\.test\\.ts$|/testing/" },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "unresolvable",
      comment: "an import names a file or package that exists",
      severity: "error",
      from: { path: "^packages/" },
      to: { couldNotResolve: true },
    },
    {
      name: "test-support-in-product",
      comment: "what ships does not import test support",
      severity: "error",
      from: { path: "^packages/[^/]+/src/", pathNot: "\\.test\\.ts$|/testing/" },
      to: { path: "^packages/[^/]+/(src|dist)/.*testing/" },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "^packages/[^/]+/dist/"] },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "default"],
      extensions: [".ts", ".svelte", ".mjs", ".js"],
    },
  },
};
