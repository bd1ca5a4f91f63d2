import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// The parts of OpenAPI 3.1 that the signer's documents use.
interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  additionalProperties?: Schema | boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  default?: unknown;
}
type Content = Record<string, { schema?: Schema }>;
interface Operation {
  summary?: string;
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[];
  requestBody?: { content: Content; required?: boolean };
  responses: Record<string, { description: string; content?: Content }>;
  security?: Record<string, string[]>[];
}
interface Document {
  info: { title: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

const LISTENERS = { public: "Public listener", agents: "Agents’ listener", admin: "Administrators’ listener" } as const;
const METHODS = ["get", "post", "put", "patch", "delete"];

/** One page for each listener, made of the document that its handlers are described by. */
export default {
  watch: ["../../../../openapi/*.json"],
  paths: () => Object.entries(LISTENERS).map(([listener, title]) => ({ params: { listener }, content: page(read(listener), listener, title) })),
};

function read(listener: string): Document {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`../../../../openapi/${listener}.json`, import.meta.url)), "utf8")) as Document;
}

function page(document: Document, listener: string, title: string): string {
  const lines = [`# ${title}`, "", text(document.info.description ?? ""), "", `The document itself: \`edgeseal openapi ${listener}\`, or \`GET /openapi.json\` on the listener.`, ""];
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const method of METHODS) {
      const operation = operations[method];
      if (operation) lines.push(...describe(method, path, operation));
    }
  }
  const schemas = Object.entries(document.components?.schemas ?? {});
  if (schemas.length > 0) lines.push("## Schemas", "");
  for (const [name, schema] of schemas) lines.push(`### ${name}`, "", text(schema.description ?? ""), "", ...shape(schema), "");
  return lines.join("\n");
}

function describe(method: string, path: string, operation: Operation): string[] {
  // What all paths of a listener begin with would break the names in the list of headings.
  const named = escape(path).replace(/^\/admin\/v1/, '<span class="ignore-header">$&</span>');
  const lines = [`## ${method.toUpperCase()} ${named}`, "", text(operation.summary ? `**${operation.summary}.**` : ""), "", text(operation.description ?? ""), ""];
  // Whichever way somebody is known, the role is the same.
  const roles = new Set((operation.security ?? []).flatMap((way) => Object.values(way).flat()));
  if (roles.size > 0) lines.push(`Least role: ${[...roles].join(", ")}.`, "");
  if (operation.parameters?.length) {
    const rows = operation.parameters.map(({ name, in: where, required, description, schema }) => [`\`${name}\``, where, `${cell(type(present(schema)))}${required ? ", needed" : ""}`, cell(description ?? "")]);
    lines.push(...table(["parameter", "where", "type", "meaning"], rows), "");
  }
  for (const [media, { schema }] of Object.entries(operation.requestBody?.content ?? {})) lines.push(`Body, \`${media}\`: ${type(schema)}`, "");
  const answers = Object.entries(operation.responses).map(([status, { description, content }]) => {
    const bodies = Object.entries(content ?? {}).map(([media, { schema }]) => `\`${media}\`${schema ? `: ${type(schema)}` : ""}`);
    return [status, cell(description), cell(bodies.join(", "))];
  });
  return [...lines, ...table(["status", "meaning", "body"], answers), ""];
}

function shape(schema: Schema): string[] {
  const parts = schema.allOf ?? [];
  const properties = Object.assign({}, schema.properties, ...parts.map((part) => part.properties ?? {})) as Record<string, Schema>;
  const names = Object.keys(properties);
  if (names.length === 0) return [type({ ...schema, description: "" })];
  const required = new Set([schema, ...parts].flatMap((part) => part.required ?? []));
  const more = parts.filter((part) => part.$ref).map((part) => `With all of ${type(part)}.`);
  const rows = names.map((name) => {
    const property = properties[name] ?? {};
    return [`\`${name}\``, `${required.has(name) ? "needed: " : ""}${cell(type(property))}`, cell(meaning(property))];
  });
  return [...more, ...(more.length ? [""] : []), ...table(["member", "type", "meaning"], rows)];
}

/** A table without the columns that have nothing in any row. */
function table(heads: string[], rows: string[][]): string[] {
  const kept = heads.map((_, column) => rows.some((row) => row[column]));
  const line = (cells: string[]) => `| ${cells.filter((_, column) => kept[column]).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)];
}

/** What a member is. One that may be null says so of what it is otherwise. */
function meaning({ description, oneOf }: Schema): string {
  return description ?? oneOf?.find((choice) => choice.description)?.description ?? "";
}

/** A parameter that is there has a value: one that may be absent is described as one that may be null. */
function present(schema: Schema | undefined): Schema | undefined {
  return Array.isArray(schema?.type) ? { ...schema, type: schema.type.filter((name) => name !== "null") } : schema;
}

function type(schema: Schema | undefined): string {
  if (!schema) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1) ?? "";
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(type).join(" or ");
  if (schema.allOf?.length) return schema.allOf.map(type).join(" and ");
  const types = [schema.type ?? []].flat();
  const named = types.map((name) => (name === "array" && schema.items ? `array of ${type(schema.items)}` : name));
  const base = named.join(" or ") || "any";
  const bounds = [
    schema.format,
    schema.minItems !== undefined && `at least ${schema.minItems}`,
    schema.maxItems !== undefined && `at most ${schema.maxItems}`,
    schema.minimum !== undefined && `from\u00a0${schema.minimum}`,
    schema.maximum !== undefined && `to\u00a0${schema.maximum}`,
    schema.minLength !== undefined && `at least ${schema.minLength} character${schema.minLength === 1 ? "" : "s"}`,
    schema.maxLength !== undefined && `at most ${schema.maxLength} characters`,
  ].filter(Boolean);
  return bounds.length ? `${base} (${bounds.join(", ")})` : base;
}

/** Nothing that the document says is read as a template or as HTML; its code spans stay. */
function escape(value: string): string {
  return value.replaceAll("<", "&lt;").replaceAll("{{", "&#123;&#123;").replaceAll(/[{}]/g, (brace) => (brace === "{" ? "&#123;" : "&#125;"));
}

function text(value: string): string {
  return value
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 ? part : escape(part)))
    .join("");
}

function cell(value: string): string {
  return text(value).replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}
