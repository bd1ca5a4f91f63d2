// Inside workerd: POST a chunk of lines, get an array of verdicts. The clock stands still inside a request, so that the time is
// taken outside.
import { attempt, make } from "./dos.mjs";
import * as edgeseal from "edgeseal";
import * as reference from "edgeseal/reference";

import { judges } from "./line.mjs";

const judge = judges(edgeseal, reference, false);

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("made")) return Response.json(make(searchParams.get("made")));
    if (searchParams.has("hostile")) return Response.json(await attempt(edgeseal, searchParams.get("hostile")));
    const mode = JSON.parse(searchParams.get("mode"));
    return Response.json(await judge(new Uint8Array(await request.arrayBuffer()), mode));
  },
};
