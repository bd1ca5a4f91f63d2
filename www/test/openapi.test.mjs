// The API reference is made of www/openapi, which has to be what the signer says today.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LISTENERS, file, openapi } from "../scripts/openapi.mjs";

for (const listener of LISTENERS) {
  test(`the ${listener} listener's OpenAPI document is today's`, () => {
    assert.ok(readFileSync(file(listener), "utf8") === openapi(listener), `www/openapi/${listener}.json is old: npm --prefix www run openapi`);
  });
}
