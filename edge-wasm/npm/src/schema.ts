import { ConfigurationError } from "./errors.js";

/**
 * A validator that follows Standard Schema v1 (https://standardschema.dev), such as those of zod, valibot and arktype: what is
 * used of `@standard-schema/spec`, so that the package depends on nothing. `Output` is the type of the claims that it gives.
 */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** What a validator says. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues that a message names, and characters of each. */
const MAX_ISSUES = 3;
const MAX_MESSAGE = 200;

/** The schema of an option. */
export function demandSchema(schema: StandardSchema): void {
  // A schema may be a function.
  if (typeof (schema as Partial<StandardSchema> | null)?.["~standard"]?.validate === "function") return;
  throw new ConfigurationError("schema", "schema: must be a Standard Schema, as zod, valibot and arktype make them");
}

/**
 * The claims as the schema gives them. `refusal` makes the error for claims that it does not take; what the schema itself
 * throws is a mistake in it, and thrown on.
 */
export async function applySchema(schema: StandardSchema, claims: object, refusal: (detail: string) => Error): Promise<object> {
  const result = await schema["~standard"].validate(claims);
  if (typeof result !== "object" || result === null) throw new TypeError("schema: validate must give a result, with value or issues");
  if (result.issues) throw refusal(`the schema says ${issuesText(result.issues)}`);
  const { value } = result;
  if (typeof value !== "object" || value === null) throw new TypeError("schema: must give an object");
  return value;
}

function issuesText(issues: readonly SchemaIssue[]): string {
  const texts = issues.slice(0, MAX_ISSUES).map(({ message, path = [] }) => {
    // A message may quote the token.
    const text = `${pathText(path)}${message}`.replace(controls(), " ");
    return text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text;
  });
  if (issues.length > MAX_ISSUES) texts.push(`and ${issues.length - MAX_ISSUES} more`);
  return texts.join("; ");
}

/** Made when it is needed: classes of Unicode cost every start of a Worker some 0.4 ms otherwise. */
function controls(): RegExp {
  return new RegExp("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]+", "gu");
}

function pathText(path: NonNullable<SchemaIssue["path"]>): string {
  if (path.length === 0) return "";
  const names = path.map((segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number") return `[${key}]`;
    const name = String(key);
    return /^[\w-]+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
  });
  return `${names.join("").replace(/^\./, "")}: `;
}
