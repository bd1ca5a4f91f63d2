// The verdicts that are known to differ, each with its reason: `tests/vectors/divergences.json`. Best empty.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} Divergence
 * @property {string} id the line
 * @property {string} on the host and the mode, as the table prints them: "workerd, webcrypto"
 * @property {string | null} code what it says there; null for acceptance
 * @property {string} reason
 */

/** @returns {Divergence[]} */
export function knownDivergences(root) {
  const file = join(root, "tests/vectors/divergences.json");
  return checked(JSON.parse(readFileSync(file, "utf8")));
}

/** @returns {Divergence[]} */
export function checked(rows) {
  if (!Array.isArray(rows)) throw new Error("divergences.json: not an array");
  for (const [index, row] of rows.entries()) {
    const { id, on, code, reason, ...surplus } = row;
    const isRow = typeof id === "string" && typeof on === "string" && (code === null || typeof code === "string") && Object.keys(surplus).length === 0;
    if (!isRow) throw new Error(`divergences.json: row ${index + 1} must have id, on, code and reason, and nothing else`);
    if (typeof reason !== "string" || reason.trim() === "") throw new Error(`divergences.json: ${id} on ${on} has no reason`);
    if (rows.findIndex((other) => other.id === id && other.on === on) !== index) throw new Error(`divergences.json: ${id} on ${on} is there twice`);
  }
  return rows;
}
