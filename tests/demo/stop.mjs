// `make demo-stop`: ends exactly what `make demo KEEP=1` started.

import { endEarlier } from "./ledger.mjs";

const { ended } = await endEarlier();
console.log(ended ? `  ✓ Demo ended     ${ended} processes` : "  ✓ Nothing to end: no demo is running");
