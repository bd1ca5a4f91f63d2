// How a host is asked: as it chooses, then with each of its backends alone. `more`: only where the whole corpus is judged, or
// with --modes.

/** The npm package (`line.mjs` says what a mode is). */
export const PACKAGE_MODES = [
  { name: "" },
  { name: "tables", warm: true, tables: true, more: true },
  { name: "webcrypto", backend: "webcrypto", warm: true, more: true },
  { name: "rustcrypto", backend: "rustcrypto", more: true },
];

/** The command line. */
export const NATIVE_MODES = [
  { name: "" },
  { name: "aws-lc-rs", backend: "aws-lc-rs", more: true },
  { name: "rustcrypto", backend: "rustcrypto", more: true },
  { name: "p256-tables", backend: "p256-tables", more: true },
];
